package cluster

import (
	"sync"
	"sync/atomic"
	"time"
)

// pauses measures how long this node knows nobody whom it can write to. A leader
// that is known is no proof: a follower believes in a dead one until its
// election timeout. So a pause begins with the first question or proposal that
// failed, and ends with the next that was answered. What is shorter than the
// time between two questions (see freshnessInterval) may be missed on an idle
// node.
type pauses struct {
	over func(time.Duration) // told of each pause that has ended

	open atomic.Bool // since is set; spares those who write the lock

	mu    sync.Mutex
	begun bool // this node has had a leader: its own start is no pause
	since time.Time
	total time.Duration // of those that have ended
}

// lost takes in that what was sent at began found nobody.
func (p *pauses) lost(began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun && p.since.IsZero() {
		p.since = began
		p.open.Store(true)
	}
}

// found takes in that the leader has answered.
func (p *pauses) found() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	if p.since.IsZero() {
		return
	}
	took := time.Since(p.since)
	p.since = time.Time{}
	p.open.Store(false)
	p.total += took
	p.over(took)
}

// wrote is found for the hot path.
func (p *pauses) wrote() {
	if p.open.Load() {
		p.found()
	}
}

// spent is the length of all pauses, of one that goes on too.
func (p *pauses) spent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return p.total
	}
	return p.total + time.Since(p.since)
}
