package cluster

import (
	"context"
	"time"
)

// Tracer takes the spans of what a node does for a request. The request's own
// span travels in its context; it is not carried to the leader: a batch mixes the
// commands of many requests, and nodes of the first release refuse a batch with
// anything behind its last command. What the leader does shows as the length of
// the span "forward".
type Tracer interface {
	// Traced says whether the request of ctx is traced. It is asked once for each
	// proposal and each read that waits.
	Traced(ctx context.Context) bool
	// Begin begins a span below that of ctx, until end is called.
	Begin(ctx context.Context, name string) (_ context.Context, end func(error))
	// Record adds a span below that of ctx which is over already.
	Record(ctx context.Context, s Span)
}

// Span is something that has been done.
type Span struct {
	Name         string
	Began, Ended time.Time
	// Commands are those of the whole batch, 0 where there is none.
	Commands int
	// Node is whom it was sent to, empty if it was done here.
	Node string
	Err  error
}

// The spans of a request that writes: propose holds for each attempt a queue and
// then a commit, on the leader, or a forward. Of one that waits for a proof:
const (
	spanPropose = "propose"
	spanQueue   = "queue"
	spanCommit  = "commit"
	spanForward = "forward"
	spanBarrier = "read barrier"
	spanIndex   = "read index"
)

// traced begins a span where the request is traced, and does nothing elsewhere.
func (n *Node) traced(ctx context.Context, name string) (context.Context, func(error)) {
	if n.cfg.Tracer == nil || !n.cfg.Tracer.Traced(ctx) {
		return ctx, func(error) {}
	}
	return n.cfg.Tracer.Begin(ctx, name)
}

// traceAttempt records where an attempt that has come to its end spent its time.
func (n *Node) traceAttempt(ctx context.Context, queued time.Time, p *proposal, a attempt) {
	if n.cfg.Tracer == nil || p.taken.IsZero() || !n.cfg.Tracer.Traced(ctx) {
		return
	}
	n.cfg.Tracer.Record(ctx, Span{Name: spanQueue, Began: queued, Ended: p.taken})
	s := Span{Name: spanCommit, Began: p.taken, Ended: time.Now(), Commands: p.company, Node: p.sentTo, Err: a.err}
	if p.sentTo != "" {
		s.Name = spanForward
	}
	n.cfg.Tracer.Record(ctx, s)
}

// readSpan names what a read waits for.
func readSpan(strong bool, atLeast uint64) string {
	if strong || atLeast == 0 {
		return spanBarrier
	}
	return spanIndex
}
