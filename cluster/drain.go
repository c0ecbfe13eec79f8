package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// errNoSuccessor: there is nobody to hand the leadership to.
var errNoSuccessor = errors.New("no healthy voter can take the leadership over")

// TransferLeadership hands the leadership to the most caught-up healthy voter
// and returns once this node does not lead any more. On a node that does not
// lead it does nothing.
func (n *Node) TransferLeadership(ctx context.Context) error {
	return n.transferLeadership(ctx, "")
}

// transferLeadership hands over to one node, or to the best where to is empty.
func (n *Node) transferLeadership(ctx context.Context, to string) error {
	r := n.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return nil
	}
	failure := errNoSuccessor
	for _, id := range n.successors(ctx) {
		if to != "" && id != to {
			continue
		}
		reign := n.reign.current()
		err := n.await(r.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)))
		if err != nil {
			failure = fmt.Errorf("transfer the leadership to %s: %w", id, err)
			continue
		}
		for r.State() == raft.Leader {
			if err := pause(ctx, reign, retryPause); err != nil {
				return err
			}
			reign = n.reign.current()
		}
		n.log.Info("leadership transferred", "to", id)
		return nil
	}
	return failure
}

// successors are the other voters that answer and follow this term, the one with
// the longest log first.
func (n *Node) successors(ctx context.Context) []string {
	voters := slices.DeleteFunc(n.voters(), func(id string) bool { return id == n.cfg.NodeID })
	reports, _ := n.reports(ctx, voters)
	term := n.raft.Load().CurrentTerm()
	reports = slices.DeleteFunc(reports, func(r report) bool { return r.Term != term || r.State != "follower" || r.Draining })
	slices.SortStableFunc(reports, func(a, b report) int {
		return cmp.Or(cmp.Compare(b.LastIndex, a.LastIndex), cmp.Compare(b.Applied, a.Applied))
	})
	ids := make([]string, 0, len(reports))
	for _, r := range reports {
		ids = append(ids, r.ID)
	}
	return ids
}

// BeginDrain makes this node not ready and tells the others, which then count it
// out: a second one is not drained beside it where that would lose the quorum.
// It serves on.
func (n *Node) BeginDrain() { n.draining.Store(true) }

// Drain makes this node not ready, hands its leadership away, and tells gossip
// that it leaves. Requests that are under way, and those that still come, are
// served until Close. It never takes the node out of Raft's configuration: a
// restart is not a farewell.
func (n *Node) Drain(ctx context.Context) error {
	n.BeginDrain()
	err := n.TransferLeadership(ctx)
	if errors.Is(err, errNoSuccessor) && len(n.voters()) == 1 {
		err = nil
	}
	return errors.Join(err, n.peers.Leave(ctx))
}
