package cluster

import (
	"context"
	"sync"
)

// reign is the time during which this node's view of the leader stays the same,
// as a context: a call to a leader that has been replaced is not worth waiting
// for, and whoever waits for a leader wants to hear of the next change.
type reign struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

func newReign() *reign {
	r := new(reign)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// current is done when the view of the leader has changed. Take it before
// looking at the leader, or a change in between is missed.
func (r *reign) current() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// change ends the current reign and begins the next.
func (r *reign) change() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel()
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// end ends the current reign for good.
func (r *reign) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel()
}
