package cluster

import (
	"context"
	"sync"
	"sync/atomic"
)

// maxIndexWaiters bounds the requests that wait for an index on one node.
const maxIndexWaiters = 8192

// watermark is the index up to which the machine has really applied the log.
// raft.AppliedIndex means "handed to the machine" and is no substitute.
// It never goes back.
type watermark struct {
	index   atomic.Uint64
	waiting atomic.Int32 // len(waiters), readable without the lock

	mu      sync.Mutex
	waiters map[*indexWaiter]struct{}
}

type indexWaiter struct {
	index uint64
	ready chan struct{}
}

func newWatermark(index uint64) *watermark {
	w := &watermark{waiters: make(map[*indexWaiter]struct{})}
	w.index.Store(index)
	return w
}

func (w *watermark) applied() uint64 { return w.index.Load() }

// advance is called by the one goroutine that applies.
func (w *watermark) advance(index uint64) {
	if index <= w.index.Load() {
		return
	}
	// The order of these two against the order in wait is what makes a lost
	// wake-up impossible: store, then look for waiters; count, then look again.
	w.index.Store(index)
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiter := range w.waiters {
		if waiter.index <= index {
			close(waiter.ready)
			delete(w.waiters, waiter)
		}
	}
	w.waiting.Store(int32(len(w.waiters)))
}

// wait returns once the machine has applied index. It fails with the context's
// error, or at once with errOverloaded.
func (w *watermark) wait(ctx context.Context, index uint64) error {
	return w.await(ctx, index, maxIndexWaiters)
}

// await is wait for those who must get in however many requests wait already.
func (w *watermark) await(ctx context.Context, index uint64, most int) error {
	if w.index.Load() >= index {
		return nil
	}
	waiter := &indexWaiter{index: index, ready: make(chan struct{})}
	w.mu.Lock()
	if len(w.waiters) >= most {
		w.mu.Unlock()
		return errOverloaded
	}
	w.waiters[waiter] = struct{}{}
	w.waiting.Store(int32(len(w.waiters)))
	w.mu.Unlock()
	defer w.forget(waiter)

	if w.index.Load() >= index {
		return nil
	}
	select {
	case <-waiter.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *watermark) forget(waiter *indexWaiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, waiter)
	w.waiting.Store(int32(len(w.waiters)))
}
