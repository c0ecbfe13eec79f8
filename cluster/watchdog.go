package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// watchdog notices operations that do not come back: appends and truncations of
// the log, votes, flushes, Apply. Raft itself never does (hashicorp/raft#503: a
// leader whose disk hangs went on heartbeating for ever, in 40 runs of 40), so a
// node that hangs must end and let the others elect somebody.
type watchdog struct {
	limit time.Duration
	fail  func(error)

	mu      sync.Mutex
	next    uint64
	running map[uint64]operation
}

type operation struct {
	name  string
	began time.Time
}

func newWatchdog(limit time.Duration, fail func(error)) *watchdog {
	return &watchdog{limit: limit, fail: fail, running: make(map[uint64]operation)}
}

// begin starts the watch over one operation; the result ends it.
func (w *watchdog) begin(name string) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	id := w.next
	w.running[id] = operation{name: name, began: time.Now()}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.running, id)
	}
}

// overdue is the operation that has run for longest above the limit.
func (w *watchdog) overdue(now time.Time) (operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var worst operation
	for _, op := range w.running {
		if now.Sub(op.began) > w.limit && (worst.name == "" || op.began.Before(worst.began)) {
			worst = op
		}
	}
	return worst, worst.name != ""
}

// run looks ten times within the limit until ctx ends or something hangs.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(w.limit / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if op, bad := w.overdue(time.Now()); bad {
			w.fail(fmt.Errorf("%w: %s has not finished within %s", ErrDisk, op.name, w.limit))
			return
		}
	}
}
