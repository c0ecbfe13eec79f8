package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// settleInterval is how often a node without a cluster looks around.
const settleInterval = 250 * time.Millisecond

// settle brings a node whose stores are empty into a cluster. Until it has, no
// Raft transport is open: this node may have been wiped, and an empty store in
// raft 1.7.3 votes for anyone, also in a term in which it has voted before.
//
//	empty ── somebody has a cluster ──> join (as a non-voter) ──> Raft runs
//	      ── exactly N empty nodes ───> form (all are voters) ──> Raft runs
//	      ── a Form call arrives ─────> form ───────────────────> Raft runs
func (n *Node) settle() {
	tick := time.NewTicker(n.cfg.scaled(settleInterval))
	defer tick.Stop()
	last := ""
	for n.raft.Load() == nil {
		if err := n.lookAround(); err != nil && err.Error() != last {
			last = err.Error()
			n.log.Info("not in a cluster yet", "reason", last)
		}
		select {
		case <-n.ctx.Done():
			return
		case <-n.started:
			return
		case <-n.peers.Changed():
		case <-tick.C:
		}
	}
}

// lookAround makes one try to get into a cluster.
func (n *Node) lookAround() error {
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.scaled(5*time.Second))
	defer cancel()
	members := n.members()
	reports, failed := n.reports(ctx, members)
	for _, r := range reports {
		if r.Formed {
			return n.join(ctx, reports)
		}
	}
	if n.cfg.BootstrapExpect == 0 {
		return errors.New("no cluster was found to join")
	}
	if len(members) != n.cfg.BootstrapExpect {
		return fmt.Errorf("%d nodes are there, %d are expected", len(members), n.cfg.BootstrapExpect)
	}
	if len(failed) > 0 {
		return fmt.Errorf("cannot reach %v", failed)
	}
	for _, r := range reports {
		if !r.Virgin {
			return fmt.Errorf("node %s is not empty", r.ID)
		}
	}
	if members[0] != n.cfg.NodeID {
		return fmt.Errorf("waiting for %s to form the cluster", members[0])
	}
	return n.form(bootstrapConfiguration(members))
}

// members are the ids that gossip knows and this node's own, sorted.
func (n *Node) members() []string {
	ids := append(n.peers.Members(), n.cfg.NodeID)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// reports asks all the given nodes at once.
func (n *Node) reports(ctx context.Context, ids []string) (got []report, failed []string) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(time.Second))
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			r, err := n.reportOf(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, id)
				return
			}
			got = append(got, r)
		})
	}
	all.Wait()
	slices.Sort(failed)
	slices.SortFunc(got, func(a, b report) int { return cmp.Compare(a.ID, b.ID) })
	return got, failed
}

func (n *Node) reportOf(ctx context.Context, id string) (report, error) {
	if id == n.cfg.NodeID {
		return n.report(), nil
	}
	return n.callStatus(ctx, id)
}

// bootstrapConfiguration is the same bytes on every node: ids are sorted, and an
// address is the id.
func bootstrapConfiguration(ids []string) raft.Configuration {
	var c raft.Configuration
	for _, id := range slices.Sorted(slices.Values(ids)) {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id),
		})
	}
	return c
}

// form writes the first configuration into an empty log and starts Raft. It is
// idempotent; a log that holds anything else refuses it.
func (n *Node) form(c raft.Configuration) error {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.raft.Load() != nil {
		if n.pristine() && sameConfiguration(n.configuration(), c) {
			return nil
		}
		return errors.New("this node is in a cluster already")
	}
	// Nothing is sent through the transport: it is asked for its address alone,
	// and only by protocol versions that we do not speak.
	err := raft.BootstrapCluster(n.cfg.raftConfig(nil), n.logs, n.stable, n.snapshots, nil, c)
	if err != nil {
		return fmt.Errorf("form the cluster: %w", err)
	}
	n.log.Info("cluster formed", "nodes", len(c.Servers))
	return n.startRaft()
}

// pristine: the log holds nothing but the configuration it was formed with.
func (n *Node) pristine() bool {
	r := n.raft.Load()
	if r == nil {
		return n.empty && n.mark.applied() == 0
	}
	return r.LastIndex() <= 1 && n.machine.Cluster() == 0
}

func sameConfiguration(a, b raft.Configuration) bool {
	return slices.Equal(a.Servers, b.Servers)
}

// serveForm takes the configuration of a new cluster from its lowest node.
func (n *Node) serveForm(from string, body []byte) error {
	c, err := decodeConfiguration(body)
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		ids = append(ids, string(s.ID))
	}
	switch {
	case !sameConfiguration(c, bootstrapConfiguration(ids)):
		return errors.New("not a first configuration")
	case !slices.Contains(ids, n.cfg.NodeID):
		return errors.New("this node is not in that configuration")
	case ids[0] != from:
		return fmt.Errorf("only %s may form this cluster", ids[0])
	case n.cfg.BootstrapExpect != 0 && n.cfg.BootstrapExpect != len(ids):
		return fmt.Errorf("this node expects %d nodes, not %d", n.cfg.BootstrapExpect, len(ids))
	}
	return n.form(c)
}

// finishForming tells the other nodes of a cluster that this node formed, until
// one of them has made progress with it. It resumes after a crash: the first
// configuration alone in the log says that it may be needed.
func (n *Node) finishForming() {
	c := n.configuration()
	body := raft.EncodeConfiguration(c)
	told := map[string]bool{n.cfg.NodeID: true}
	tick := time.NewTicker(n.cfg.scaled(settleInterval))
	defer tick.Stop()
	for n.pristine() && len(told) < len(c.Servers) {
		for _, s := range c.Servers {
			id := string(s.ID)
			if told[id] || !n.pristine() {
				continue
			}
			ctx, cancel := context.WithTimeout(n.ctx, n.cfg.scaled(time.Second))
			_, err := n.call(ctx, id, methodForm, body)
			cancel()
			if err != nil {
				n.log.Debug("a node has not formed the cluster yet", "node", id, "error", err)
				continue
			}
			told[id] = true
		}
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
	}
}
