package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// proof is what one round of the leader established: as of a moment between the
// start and the end of the round, node was the leader of term and everything
// that was ever acknowledged is at or below index.
type proof struct {
	term    uint64
	index   uint64 // the leader's applied index when the round began
	clock   int64  // the log's clock when the round ended
	last    uint64 // the leader's last log index when the round ended
	cluster uint64
}

var errNotConfirmed = errors.New("a majority did not confirm the leader")

// rounds are the leader's proofs that it still leads. A question joins the next
// round, never the one under way: that one took its index before the question
// was asked.
type rounds struct {
	mu   sync.Mutex
	next *round
	term uint64 // of the leader that runs rounds here, 0 if none does
	wake chan struct{}

	// asking marks voters whose last answer is still out: one that hangs must
	// not collect a goroutine for each round.
	asking sync.Map
}

type round struct {
	done  chan struct{}
	proof proof
	err   error
}

func newRounds() *rounds { return &rounds{wake: make(chan struct{}, 1)} }

// join waits for the end of the next round.
func (r *rounds) join(ctx context.Context) (proof, error) {
	r.mu.Lock()
	if r.term == 0 {
		r.mu.Unlock()
		return proof{}, errNotExecuted
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	joined := r.next
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.mu.Unlock()
	select {
	case <-joined.done:
		return joined.proof, joined.err
	case <-ctx.Done():
		return proof{}, ctx.Err()
	}
}

func (r *rounds) begin(term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term = term
}

func (r *rounds) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term = 0
	if r.next != nil {
		r.next.err = errNotConfirmed
		close(r.next.done)
		r.next = nil
	}
}

func (r *rounds) take() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.next
	r.next = nil
	return taken
}

// runRounds serves the questions of one term until ctx ends.
func (n *Node) runRounds(ctx context.Context, term uint64) {
	n.rounds.begin(term)
	defer n.rounds.end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.rounds.wake:
		}
		if r := n.rounds.take(); r != nil {
			r.proof, r.err = n.prove(ctx, term)
			n.metrics.rounds.Inc()
			close(r.done)
		}
	}
}

// prove runs one round. The order is the argument: the index is taken while the
// opening entry of this term is applied; then a majority of voters says that it
// still is in this term under this leader, so that no later term had a leader
// when the index was taken; then the term is checked again here.
func (n *Node) prove(ctx context.Context, term uint64) (proof, error) {
	if n.leadingTerm() != term {
		return proof{}, errNotConfirmed
	}
	p := proof{term: term, index: n.mark.applied()}
	if hook := n.hooks.roundTaken.Load(); hook != nil {
		(*hook)()
	}
	if !n.confirmed(ctx, term) || n.leadingTerm() != term {
		return proof{}, errNotConfirmed
	}
	p.clock = n.clock.now()
	p.last = n.raft.Load().LastIndex()
	p.cluster = n.machine.Cluster()
	return p, nil
}

// confirmed asks all other voters and returns as soon as a majority, this node
// included, says yes.
func (n *Node) confirmed(ctx context.Context, term uint64) bool {
	voters := n.voters()
	need, yes, out := len(voters)/2+1, 0, 0
	answers := make(chan bool, len(voters))
	for _, id := range voters {
		if id == n.cfg.NodeID {
			yes++
			continue
		}
		if _, busy := n.rounds.asking.LoadOrStore(id, nil); busy {
			continue
		}
		started := n.tasks.Go(func() {
			defer n.rounds.asking.Delete(id)
			ctx, cancel := context.WithTimeout(n.ctx, n.cfg.scaled(400*time.Millisecond))
			defer cancel()
			ok, err := n.callConfirm(ctx, id, term)
			answers <- ok && err == nil
		})
		if !started {
			n.rounds.asking.Delete(id)
			return false
		}
		out++
	}
	for yes < need && yes+out >= need {
		select {
		case ok := <-answers:
			out--
			if ok {
				yes++
			}
		case <-ctx.Done():
			return false
		}
	}
	return yes >= need
}

// serveConfirm answers for this node: is leader still leader of term, as far as
// this node's vote is concerned? A vote for a later term is only ever given
// after the term was raised, so a yes is true until this very moment.
func (n *Node) serveConfirm(term uint64, leader string) bool {
	r := n.raft.Load()
	if r == nil {
		return false
	}
	_, id := r.LeaderWithID()
	return string(id) == leader && r.CurrentTerm() == term && r.State() == raft.Follower
}
