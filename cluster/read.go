package cluster

import (
	"context"
	"errors"
	"math"
	"time"
)

// indexPatience is how long a read waits for an index that this node has not
// applied before it asks the leader whether there is such an index at all.
const indexPatience = 50 * time.Millisecond

// Read returns when a lookup in this node's machine may be answered, with an
// upper bound of the log's clock in milliseconds.
//
// Local (strong is false): this node was fresh within MaxStaleness, or else
// after a barrier; and it has applied atLeast, unless the leader's whole log
// ends before that. Strong: a barrier, begun after this call. It fails with
// ErrStale, ErrNoLeader, ErrOverloaded or ErrDraining.
func (n *Node) Read(ctx context.Context, atLeast uint64, strong bool) (now int64, err error) {
	if n.ctx.Err() != nil {
		return 0, n.closedError()
	}
	if !strong && n.mark.applied() >= atLeast {
		if now, ok := n.local(); ok {
			return now, nil
		}
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	ctx, end := n.traced(ctx, readSpan(strong, atLeast))
	defer func() { end(err) }()
	if !strong && n.patient(ctx, atLeast) {
		if now, ok := n.local(); ok {
			return now, nil
		}
	}
	return n.readBarrier(ctx, atLeast, strong)
}

// local is the hot path: no lock, two loads, two readings of the monotonic clock.
func (n *Node) local() (now int64, ok bool) {
	f := n.fresh.answer.Load()
	if f == nil {
		return 0, false
	}
	age := time.Since(f.sent)
	if age > n.cfg.MaxStaleness {
		return 0, false
	}
	return n.bound(f, age), true
}

// bound is an upper bound of the log's clock, and never behind a stamp that this
// node has applied: the clock may have moved forward since the answer, which a
// node that is cut off cannot know, and this one may.
func (n *Node) bound(f *fresh, age time.Duration) int64 {
	return max(f.now(age), n.clock.now())
}

// patient waits a moment for atLeast, which is usually on its way.
func (n *Node) patient(ctx context.Context, atLeast uint64) bool {
	if n.mark.applied() >= atLeast {
		return true
	}
	if _, ok := n.local(); !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(indexPatience))
	defer cancel()
	return n.mark.wait(ctx, atLeast) == nil
}

func (n *Node) readBarrier(ctx context.Context, atLeast uint64, strong bool) (int64, error) {
	f, err := n.fresh.barrier(ctx)
	if err != nil {
		return 0, n.readError(err, strong)
	}
	// An index beyond the leader's log was never given out by this cluster's
	// log as it is now: waiting for it would pin the request for nothing.
	if atLeast <= f.last {
		if err := n.mark.wait(ctx, atLeast); err != nil {
			return 0, n.readError(err, strong)
		}
	}
	return n.bound(f, time.Since(f.sent)), nil
}

func (n *Node) readError(err error, strong bool) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if n.ctx.Err() != nil {
		return n.closedError()
	}
	if _, ok := n.Leader(); !ok && strong {
		return ErrNoLeader.because(err)
	}
	return ErrStale.because(err)
}

func (n *Node) closedError() error {
	if err := n.Err(); err != nil {
		return ErrStale.because(err)
	}
	return ErrDraining
}

// FreshAge is how old this node's last proof of freshness is, by its own
// monotonic clock; the longest duration there is if it has none.
func (n *Node) FreshAge() time.Duration {
	f := n.fresh.answer.Load()
	if f == nil {
		return math.MaxInt64
	}
	return time.Since(f.sent)
}

// Now is an upper bound of the log's clock in milliseconds, from the last
// freshness answer and the monotonic time since its question was sent; 0 before
// the first answer. It is not monotonic: a slow answer makes a higher bound.
func (n *Node) Now() int64 {
	f := n.fresh.answer.Load()
	if f == nil {
		return 0
	}
	return n.bound(f, time.Since(f.sent))
}
