package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// join asks the leader to add this node, whose stores are empty, and starts Raft
// once it has.
func (n *Node) join(ctx context.Context, reports []report) error {
	// The leaders that others name, whoever names most recent ones first: a node
	// that was cut off may name one of long ago, which then refuses.
	slices.SortFunc(reports, func(a, b report) int { return cmp.Compare(b.Term, a.Term) })
	refusal := errors.New("nobody knows the leader of the cluster")
	tried := map[string]bool{"": true, n.cfg.NodeID: true}
	for _, r := range reports {
		if tried[r.Leader] {
			continue
		}
		tried[r.Leader] = true
		if ours := n.machine.Cluster(); ours != 0 && r.Cluster != 0 && ours != r.Cluster {
			err := fmt.Errorf("%w: it is of cluster %016x, the others are of %016x", ErrOtherCluster, ours, r.Cluster)
			n.stop(err)
			return err
		}
		if _, err := n.call(ctx, r.Leader, methodJoin, nil); err != nil {
			refusal = fmt.Errorf("join through %s: %w", r.Leader, err)
			continue
		}
		n.log.Info("added to the cluster as a non-voter", "leader", r.Leader)
		n.starting.Lock()
		defer n.starting.Unlock()
		return n.startRaft()
	}
	return refusal
}

// serveJoin is the leader's end: it forgets whatever the node was and adds it
// as a non-voter. Only then does the node open its Raft transport, so the node
// that answers to this id never votes by what it has forgotten.
func (n *Node) serveJoin(ctx context.Context, from string) error {
	if !n.Leading() {
		return errNotExecuted
	}
	n.joining.Lock()
	defer n.joining.Unlock()
	if from == n.cfg.NodeID {
		return errors.New("a leader cannot join itself")
	}
	r := n.raft.Load()
	timeout := n.cfg.scaled(2 * time.Second)
	known := slices.ContainsFunc(n.configuration().Servers, func(s raft.Server) bool { return string(s.ID) == from })
	if known {
		if n.alive(ctx, from) {
			return fmt.Errorf("a node %q is in the cluster and alive: no two processes may have one id; "+
				"stop the other one, or give this one an id and a data directory of its own", from)
		}
		if err := n.await(r.RemoveServer(raft.ServerID(from), 0, timeout)); err != nil {
			return fmt.Errorf("remove %s: %w", from, err)
		}
		n.log.Info("removed a node that was wiped", "node", from)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := n.await(r.AddNonvoter(raft.ServerID(from), raft.ServerAddress(from), 0, timeout)); err != nil {
		return fmt.Errorf("add %s: %w", from, err)
	}
	n.followers.drop(from)
	n.log.Info("added a node as a non-voter", "node", from)
	return nil
}

// aliveWait is some questions long: a node that follows asks about every 100 ms.
const aliveWait = 500 * time.Millisecond

// alive says whether a node of that id goes on following this leader. The one
// that asks to join does not: it has no Raft yet.
func (n *Node) alive(ctx context.Context, id string) bool {
	before, _ := n.followers.get(id)
	if pause(ctx, context.Background(), n.cfg.scaled(aliveWait)) != nil {
		return true // not proved otherwise
	}
	now, known := n.followers.get(id)
	return known && now.heard.After(before.heard)
}

// runPromotions gives a vote to nodes that have kept up for the stable time, one
// at a time. (AddVoter at once would let a node that is still empty count for
// the majority.)
func (n *Node) runPromotions(ctx context.Context) {
	tick := time.NewTicker(n.cfg.scaled(500 * time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range n.configuration().Servers {
			if s.Suffrage != raft.Voter && n.earnedVote(string(s.ID)) {
				n.promote(s)
				break
			}
		}
	}
}

// earnedVote says that a non-voter wants a vote and has earned it.
func (n *Node) earnedVote(id string) bool {
	f, ok := n.followers.get(id)
	now := time.Now()
	return ok && f.wantsVote && now.Sub(f.heard) < n.cfg.scaled(time.Second) &&
		now.Sub(f.steady) >= n.cfg.scaled(n.cfg.StableTime) &&
		f.applied+maxLag >= n.mark.applied() && f.differs == 0
}

func (n *Node) promote(s raft.Server) {
	n.joining.Lock()
	defer n.joining.Unlock()
	err := n.await(n.raft.Load().AddVoter(s.ID, s.Address, 0, n.cfg.scaled(2*time.Second)))
	if err != nil {
		n.log.Warn("could not promote a node", "node", string(s.ID), "error", err)
		return
	}
	n.log.Info("promoted a node to voter", "node", string(s.ID))
}
