package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Change carries out what an operator asks for, through whichever node is the
// leader, and says what it did to the failure tolerance. Errors that wrap
// ErrUnknownMember, ErrUnsafe or ErrImpossible changed nothing; others are those
// of Propose. A drain is answered when it has begun.
func (n *Node) Change(ctx context.Context, c Change) (Effect, error) {
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	for {
		reign := n.reign.current()
		e, err := n.changeOnce(ctx, reign, c)
		if !errors.Is(err, errNotExecuted) {
			return e, err
		}
		if err := pause(ctx, reign, retryPause); err != nil {
			return e, ErrNoLeader.because(err)
		}
	}
}

// changeOnce makes one attempt; errNotExecuted says that another may succeed.
func (n *Node) changeOnce(ctx, reign context.Context, c Change) (Effect, error) {
	if err := n.awaitLeader(ctx, reign); err != nil {
		return Effect{}, proposeError(err, false)
	}
	if n.Leading() {
		return n.change(ctx, c)
	}
	leader, ok := n.Leader()
	if !ok || leader == n.cfg.NodeID {
		return Effect{}, errNotExecuted
	}
	return n.callChange(ctx, leader, c)
}

// change is the leader's. One change at a time: each is judged by the state that
// the one before has made. A dry run changes nothing, and waits for nobody.
func (n *Node) change(ctx context.Context, c Change) (Effect, error) {
	if !c.DryRun {
		if err := n.joining.take(ctx); err != nil {
			return Effect{}, impossible("other changes of the membership were under way for all the time that this one had; try again")
		}
		defer n.joining.pass()
	}
	e, err := n.planChange(ctx, c)
	if err != nil || c.DryRun || !e.Changed {
		e.Changed = false
		return e, err
	}
	if c.ID == n.cfg.NodeID && (c.Verb == VerbRemove || c.Verb == VerbDemote) {
		// A leader that leaves hands over first, and the next one carries it out.
		if err := n.transferLeadership(ctx, ""); err != nil {
			return e, impossible("%v", err)
		}
		return e, errNotExecuted
	}
	if err := n.carryOut(ctx, c); err != nil {
		return e, err
	}
	n.log.Info("membership changed", "verb", string(c.Verb), "node", c.ID, "forced", c.Force,
		"voters", e.Voters, "failure_tolerance", e.Tolerance)
	return e, nil
}

// planPatience is how long a change that is refused may wait for the members to
// be well: right after an election, not all have been proved fresh yet.
const planPatience = time.Second

func (n *Node) planChange(ctx context.Context, c Change) (Effect, error) {
	began := time.Now()
	for {
		s, err := n.Status(ctx)
		if err != nil {
			return Effect{}, err
		}
		if ctx.Err() != nil {
			// Whoever asked has been answered, and members that were not heard out look dead.
			return Effect{}, impossible("the members did not tell of their state in time; try again")
		}
		e, err := s.plan(c)
		if err == nil || time.Since(began) > n.cfg.scaled(planPatience) || errors.Is(err, ErrUnknownMember) {
			return e, err
		}
		if pause(ctx, ctx, 4*retryPause) != nil {
			return e, err
		}
	}
}

func (n *Node) carryOut(ctx context.Context, c Change) error {
	r, timeout := n.raft.Load(), n.cfg.scaled(membershipTimeout)
	id := raft.ServerID(c.ID)
	switch c.Verb {
	case VerbPromote:
		if err := n.callVote(ctx, c.ID, true); err != nil {
			return impossible("%v", err)
		}
		n.followers.withhold(c.ID, false)
		return n.changed(r.AddVoter(id, raft.ServerAddress(c.ID), 0, timeout))
	case VerbDemote:
		// It must know first, or it would soon be given its vote back.
		if err := n.callVote(ctx, c.ID, false); err != nil {
			return impossible("%v", err)
		}
		n.followers.withhold(c.ID, true)
		return n.changed(r.DemoteVoter(id, 0, timeout))
	case VerbRemove:
		err := n.changed(r.RemoveServer(id, 0, timeout))
		if err == nil {
			n.followers.drop(c.ID)
		}
		return err
	case VerbDrain:
		return n.callDrain(ctx, c.ID)
	default:
		if err := n.transferLeadership(ctx, c.ID); err != nil {
			return impossible("%v", err)
		}
		return nil
	}
}

// changed waits for a change of the configuration.
func (n *Node) changed(f raft.IndexFuture) error {
	err := n.await(f)
	switch {
	case err == nil:
		return nil
	case errors.Is(attemptError(err), errNotExecuted):
		return errNotExecuted
	default:
		return ErrOutcomeUnknown.because(err)
	}
}

// changeAnswer is what the leader answers another node.
type changeAnswer struct {
	Effect Effect `json:"effect"`
	// Refused is one of refusedKinds, empty if it was done; Reason is its text.
	Refused string `json:"refused,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// refusedKinds are the errors that travel between nodes, by the names that they
// have there. Append-only.
var refusedKinds = map[string]error{
	"unknown": ErrUnknownMember, "unsafe": ErrUnsafe, "impossible": ErrImpossible, "outcome_unknown": ErrOutcomeUnknown,
}

// travelled is a refusal that came from another node.
type travelled struct {
	kind error
	text string
}

func (t *travelled) Error() string { return t.text }
func (t *travelled) Unwrap() error { return t.kind }

func (n *Node) callChange(ctx context.Context, leader string, c Change) (Effect, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return Effect{}, err
	}
	raw, err := n.call(ctx, leader, methodChange, body)
	if err != nil {
		if errors.Is(err, errNotExecuted) {
			return Effect{}, errNotExecuted
		}
		return Effect{}, ErrOutcomeUnknown.because(err)
	}
	var a changeAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return Effect{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if a.Refused == "" {
		return a.Effect, nil
	}
	kind, ok := refusedKinds[a.Refused]
	if !ok {
		kind = ErrImpossible
	}
	return a.Effect, &travelled{kind: kind, text: a.Reason}
}

func (n *Node) serveChange(ctx context.Context, body []byte) ([]byte, error) {
	var c Change
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, errMalformed
	}
	if !n.Leading() {
		return nil, errNotExecuted
	}
	e, err := n.change(ctx, c)
	a := changeAnswer{Effect: e}
	if err != nil {
		for name, kind := range refusedKinds {
			if errors.Is(err, kind) {
				a.Refused, a.Reason = name, err.Error()
			}
		}
		if a.Refused == "" {
			return nil, err
		}
	}
	return json.Marshal(a)
}

// callVote tells a node whether it may be given a vote, which it remembers.
func (n *Node) callVote(ctx context.Context, id string, may bool) error {
	if id == n.cfg.NodeID {
		return n.setNonVoter(!may)
	}
	body := []byte{0}
	if may {
		body[0] = 1
	}
	_, err := n.call(ctx, id, methodVote, body)
	return err
}

func (n *Node) serveVote(body []byte) error {
	if len(body) != 1 {
		return errMalformed
	}
	return n.setNonVoter(body[0] == 0)
}

func (n *Node) callDrain(ctx context.Context, id string) error {
	if id == n.cfg.NodeID {
		return n.serveDrain()
	}
	if _, err := n.call(ctx, id, methodDrain, nil); err != nil {
		return impossible("%v", err)
	}
	return nil
}

// serveDrain begins the drain that this node's owner knows how to make.
func (n *Node) serveDrain() error {
	if n.cfg.OnDrain == nil {
		return impossible("%s cannot be drained from outside", n.cfg.NodeID)
	}
	n.BeginDrain()
	n.drainAsked.Do(n.cfg.OnDrain)
	return nil
}
