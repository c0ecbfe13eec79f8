package cluster

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// freshnessInterval is how often a node asks when nobody waits.
	freshnessInterval = 100 * time.Millisecond
	// maxFreshnessWaiters bounds the requests that wait for a proof on one node.
	maxFreshnessWaiters = 1024
)

// fresh is an answer that this node has caught up with: its state holds all that
// was acknowledged before sent.
type fresh struct {
	proof
	sent time.Time // when the question left, by this node's monotonic clock
}

// now is an upper bound of the log's clock: the answer's clock was read after
// the question was sent. The age is rounded up, as stamps are rounded down: or a
// node would serve for a millisecond what it has applied the end of.
func (f *fresh) now(age time.Duration) int64 {
	return f.clock + int64((age+time.Millisecond-1)/time.Millisecond)
}

// freshness asks the leader, one question at a time, and shares each answer
// among all who wait. raft.LastContact would be no substitute: heartbeats carry
// no commit index, and granting a vote sets it.
type freshness struct {
	answer atomic.Pointer[fresh] // the last one, nil at start: not fresh

	mu      sync.Mutex
	next    *question
	waiting int
	wake    chan struct{}
}

type question struct {
	done   chan struct{}
	answer *fresh
}

func newFreshness() *freshness { return &freshness{wake: make(chan struct{}, 1)} }

// barrier joins the next question and waits for its answer, which is retried
// until ctx ends. ErrOverloaded at once above the bound.
func (f *freshness) barrier(ctx context.Context) (*fresh, error) {
	f.mu.Lock()
	if f.waiting >= maxFreshnessWaiters {
		f.mu.Unlock()
		return nil, ErrOverloaded
	}
	f.waiting++
	if f.next == nil {
		f.next = &question{done: make(chan struct{})}
	}
	q := f.next
	select {
	case f.wake <- struct{}{}:
	default:
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.waiting--
		f.mu.Unlock()
	}()
	select {
	case <-q.done:
		return q.answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *freshness) take() *question {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.next
	f.next = nil
	if q == nil {
		q = &question{done: make(chan struct{})}
	}
	return q
}

// runFreshness asks on and on until the node closes.
func (n *Node) runFreshness() {
	tick := time.NewTicker(n.cfg.scaled(freshnessInterval))
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.fresh.wake:
		case <-tick.C:
		}
		q := n.fresh.take()
		for {
			reign := n.reign.current()
			answer, err := n.ask()
			if err == nil {
				q.answer = answer
				n.noteFresh(answer)
				close(q.done)
				break
			}
			if pause(n.ctx, reign, retryPause) != nil {
				return
			}
		}
	}
}

// ask puts one question and waits until this node has applied what the answer
// demands. A retry is a new question with a new index.
func (n *Node) ask() (*fresh, error) {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(n.reign.current(), n.cfg.scaled(time.Second))
	defer cancel()
	p, err := n.askLeader(ctx)
	if err != nil {
		n.pauses.lost(sent)
		return nil, err
	}
	n.pauses.found()
	// What the proof demands is committed, so it arrives; the leader may change
	// meanwhile, which takes nothing from the proof. Requests that wait for an
	// index must not keep the proof out that some of them will need.
	if err := n.mark.await(n.ctx, p.index, math.MaxInt); err != nil {
		return nil, err
	}
	return &fresh{proof: p, sent: sent}, nil
}

func (n *Node) askLeader(ctx context.Context) (proof, error) {
	if n.Leading() {
		return n.rounds.join(ctx)
	}
	leader, ok := n.Leader()
	if !ok || leader == n.cfg.NodeID {
		return proof{}, errNotConfirmed
	}
	return n.callAsk(ctx, leader)
}

// noteFresh takes over an answer, and notes when this node became fresh.
func (n *Node) noteFresh(answer *fresh) {
	before := n.fresh.answer.Swap(answer)
	if before == nil || answer.sent.Sub(before.sent) > n.cfg.MaxStaleness {
		n.wellSince.Store(&answer.sent)
	}
}
