package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// foreignInterval is how often a node looks whom gossip has brought.
const foreignInterval = 5 * time.Second

// foreign hears of nodes that have our key and another cluster's log.
func (n *Node) foreign(peer string, cluster uint64) {
	if !n.foreigners.IsNews(peer, time.Now()) {
		return
	}
	addr, _ := n.peers.Address(peer)
	n.log.Error("refused a node of another cluster that has the same cluster key", "node", peer, "addr", addr,
		"cluster", fmt.Sprintf("%016x", cluster), "own_cluster", fmt.Sprintf("%016x", n.machine.Cluster()),
		"do", "give each cluster a key of its own, and correct --join")
}

// watchForeigners looks at the nodes that gossip knows and the configuration does
// not: two clusters with one key meet there, and neither would say so otherwise.
func (n *Node) watchForeigners() {
	tick := time.NewTicker(n.cfg.scaled(foreignInterval))
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		if own := n.machine.Cluster(); own != 0 {
			n.lookAtStrangers(own)
		}
	}
}

func (n *Node) lookAtStrangers(own uint64) {
	servers := n.configuration().Servers
	strangers := slices.DeleteFunc(n.members(), func(id string) bool {
		return slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == id })
	})
	if len(servers) == 0 || len(strangers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.scaled(time.Second))
	defer cancel()
	reports, _ := n.reports(ctx, strangers)
	for _, r := range reports {
		if r.Cluster != 0 && r.Cluster != own {
			n.foreign(r.ID, r.Cluster)
		}
	}
}
