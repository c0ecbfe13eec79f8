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
	_, known := n.machine.Level()
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
		if _, err := n.call(ctx, r.Leader, methodJoin, appendKnown(nil, known, n.store)); err != nil {
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

// serveJoin is the leader's end of join.
func (n *Node) serveJoin(ctx context.Context, from string, level uint16, store uint64) error {
	if !n.Leading() {
		return errNotExecuted
	}
	if err := n.joining.take(ctx); err != nil {
		return err
	}
	defer n.joining.pass()
	err := n.admit(ctx, from, level, store)
	if err != nil && n.refused.tell(from, err) {
		n.log.Warn("refused a node that asked to join", "node", from, "error", err)
	}
	return err
}

// admit forgets whatever the node was and adds it as a non-voter. Only then does
// the node open its Raft transport, so the node that answers to this id never
// votes by what it has forgotten. The caller has its turn in n.joining.
func (n *Node) admit(ctx context.Context, from string, level uint16, store uint64) error {
	if from == n.cfg.NodeID {
		return errors.New("a leader cannot join itself")
	}
	if err := n.checkLevel(from, level); err != nil {
		return err
	}
	r := n.raft.Load()
	timeout := n.cfg.scaled(2 * time.Second)
	if n.configured(from) {
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
	n.followers.admit(from, store)
	n.refused.forget(from)
	n.log.Info("added a node as a non-voter", "node", from)
	return nil
}

// configured says whether the latest configuration holds a node.
func (n *Node) configured(id string) bool {
	_, ok := n.server(id)
	return ok
}

// server is what the latest configuration says of a node.
func (n *Node) server(id string) (raft.Server, bool) {
	for _, s := range n.configuration().Servers {
		if string(s.ID) == id {
			return s, true
		}
	}
	return raft.Server{}, false
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
