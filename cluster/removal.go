package cluster

import (
	"context"
	"time"
)

// removalInterval is how often a node that hears of no leader asks the others
// whether there is one that does not count it in.
const removalInterval = time.Second

// watchRemoval finds out that this node was removed while it was down. Nobody
// sends it anything, and its own configuration, in which it is a voter, would
// have it ask for votes for ever.
func (n *Node) watchRemoval() {
	tick := time.NewTicker(n.cfg.scaled(removalInterval))
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		if _, ok := n.Leader(); !ok {
			n.askStrangeLeader()
		}
	}
}

// askStrangeLeader puts the usual question to the leader that others name. Its
// answer may end this node.
func (n *Node) askStrangeLeader() {
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.scaled(2*time.Second))
	defer cancel()
	reports, _ := n.reports(ctx, n.members())
	var newest report
	for _, r := range reports {
		if r.Leader != "" && r.Leader != n.cfg.NodeID && r.Term > newest.Term && r.Cluster == n.machine.Cluster() {
			newest = r
		}
	}
	if newest.Leader == "" {
		return
	}
	if _, err := n.callAsk(ctx, newest.Leader); err != nil {
		n.log.Debug("the leader that others name does not answer", "leader", newest.Leader, "error", err)
	}
}
