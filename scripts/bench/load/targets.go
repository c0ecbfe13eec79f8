package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Targets are the nodes that clients are dealt to. A node can be taken out and put back while runs go on; several runs
// may share one Targets. Create it with NewTargets.
type Targets struct {
	generation atomic.Uint64 // changes with every Skip and Restore; clients look at it before each request
	addrs      []string

	mu      sync.Mutex
	skipped []bool
	clients []int         // how many clients sit on each node
	moved   chan struct{} // closed, and replaced, when a client leaves a node
}

// NewTargets makes the set of these nodes, each as HOST:PORT.
func NewTargets(addrs ...string) *Targets {
	return &Targets{
		addrs: slices.Clone(addrs), skipped: make([]bool, len(addrs)), clients: make([]int, len(addrs)),
		moved: make(chan struct{}),
	}
}

// Skip takes a node out and returns once no client has a request outstanding there, so that whatever happens to the
// node afterwards fails no request. It refuses an unknown node and the last one that is left.
func (t *Targets) Skip(ctx context.Context, addr string) error {
	at := slices.Index(t.addrs, addr)
	if at < 0 {
		return fmt.Errorf("skip %s: not a target", addr)
	}
	t.mu.Lock()
	others := 0
	for i, s := range t.skipped {
		if i != at && !s {
			others++
		}
	}
	if others == 0 {
		t.mu.Unlock()
		return fmt.Errorf("skip %s: no other target is left", addr)
	}
	t.skipped[at] = true
	t.generation.Add(1)
	for t.clients[at] > 0 {
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("skip %s: clients are still there: %w", addr, ctx.Err())
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
	return nil
}

// Restore puts a node back; its clients return to it.
func (t *Targets) Restore(addr string) {
	if at := slices.Index(t.addrs, addr); at >= 0 {
		t.mu.Lock()
		t.skipped[at] = false
		t.generation.Add(1)
		t.mu.Unlock()
	}
}

// sit chooses the first node that is not skipped, from home on, and the generation that the choice belongs to.
func (t *Targets) sit(home int) (at int, generation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = home % len(t.addrs)
	for range t.addrs {
		if !t.skipped[at] {
			break
		}
		at = (at + 1) % len(t.addrs)
	}
	t.clients[at]++
	return at, t.generation.Load()
}

// leave takes a client off a node.
func (t *Targets) leave(at int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[at]--
	close(t.moved)
	t.moved = make(chan struct{})
}
