package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// autopilotInterval is how often the leader looks whom to promote or remove.
const autopilotInterval = 500 * time.Millisecond

// runAutopilot lets hashicorp/raft-autopilot take care of the membership for one
// term. (AddVoter at once would let a node that is still empty count for the
// majority; a dead server counts for it until somebody removes it.)
func (n *Node) runAutopilot(ctx context.Context) {
	p := pilot{n}
	a := autopilot.New(pilotRaft{n.raft.Load(), n}, p,
		autopilot.WithPromoter(p), autopilot.WithLogger(newRaftLogger(n.cfg.Logger)),
		autopilot.WithUpdateInterval(n.cfg.scaled(autopilotInterval)),
		autopilot.WithReconcileInterval(n.cfg.scaled(autopilotInterval)))
	a.Start(ctx)
	<-ctx.Done()
	<-a.Stop()
}

// pilot is what autopilot asks about the members, and the rules by which it
// decides. It knows the configured members alone: gossip may keep one from being
// removed, never the other way about.
//
// The library's own promoter is not used: for as long as a leader is younger
// than the stable time it takes every node for stable.
type pilot struct{ n *Node }

var (
	_ autopilot.ApplicationIntegration = pilot{}
	_ autopilot.Promoter               = pilot{}
)

// Types of node. The library knows the first one.
const (
	pilotVoter  = autopilot.NodeVoter
	pilotReader = autopilot.NodeType(RoleReader)
)

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      p.n.cfg.DeadServerAfter > 0,
		LastContactThreshold:    p.n.cfg.scaled(time.Second),
		MaxTrailingLogs:         maxLag,
		MinQuorum:               uint(p.n.cfg.ClusterSize),
		ServerStabilizationTime: p.n.cfg.scaled(p.n.cfg.StableTime),
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p pilot) NotifyState(*autopilot.State) {}

// FetchServerStats tells what the members' last questions told. A member that
// follows has applied the opening entry of this term, or lags.
func (p pilot) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	stats := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	term := p.n.leads.Load()
	for id := range servers {
		if string(id) == p.n.cfg.NodeID {
			stats[id] = &autopilot.ServerStats{LastTerm: term, LastIndex: p.n.mark.applied()}
		} else if f, ok := p.n.followers.get(string(id)); ok {
			stats[id] = &autopilot.ServerStats{LastContact: time.Since(f.heard), LastTerm: term, LastIndex: f.applied}
		}
	}
	return stats
}

// KnownServers are all that are configured: the library removes at once whom it
// finds in the configuration and not here.
func (p pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := make(map[raft.ServerID]*autopilot.Server)
	for _, s := range p.n.configuration().Servers {
		one := &autopilot.Server{ID: s.ID, Name: string(s.ID), Address: s.Address, NodeType: pilotVoter, NodeStatus: autopilot.NodeUnknown}
		f, heard := p.n.followers.get(string(s.ID))
		switch {
		case string(s.ID) == p.n.cfg.NodeID:
			one.IsLeader, one.NodeStatus = true, autopilot.NodeAlive
		case heard && time.Since(f.heard) <= p.n.cfg.scaled(time.Second):
			one.NodeStatus = autopilot.NodeAlive
		case p.n.dead(string(s.ID)):
			one.NodeStatus = autopilot.NodeFailed
		}
		if s.Suffrage != raft.Voter && heard && !f.wantsVote {
			one.NodeType = pilotReader
		}
		known[s.ID] = one
	}
	return known
}

// RemoveFailedServer implements autopilot.ApplicationIntegration: it must not wait.
func (p pilot) RemoveFailedServer(s *autopilot.Server) {
	p.n.tasks.Go(func() { p.n.removeDead(string(s.ID)) })
}

// GetServerExt implements autopilot.Promoter.
func (p pilot) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (p pilot) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter.
func (p pilot) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := make(map[raft.ServerID]autopilot.NodeType, len(s.Servers))
	for id, one := range s.Servers {
		types[id] = one.Server.NodeType
	}
	return types
}

// IsPotentialVoter implements autopilot.Promoter.
func (p pilot) IsPotentialVoter(t autopilot.NodeType) bool { return t == pilotVoter }

// CalculatePromotionsAndDemotions promotes one node at a time that has earned it.
func (p pilot) CalculatePromotionsAndDemotions(*autopilot.Config, *autopilot.State) autopilot.RaftChanges {
	for _, s := range p.n.configuration().Servers {
		if s.Suffrage != raft.Voter && p.n.earnedVote(string(s.ID)) {
			return autopilot.RaftChanges{Promotions: []raft.ServerID{s.ID}}
		}
	}
	return autopilot.RaftChanges{}
}

// FilterFailedServerRemovals lets one server go that has been dead for long.
func (p pilot) FilterFailedServerRemovals(_ *autopilot.Config, _ *autopilot.State, f *autopilot.FailedServers) *autopilot.FailedServers {
	dead := func(s *autopilot.Server) bool { return s.NodeStatus == autopilot.NodeFailed }
	if i := slices.IndexFunc(f.FailedNonVoters, dead); i >= 0 {
		return &autopilot.FailedServers{FailedNonVoters: f.FailedNonVoters[i : i+1]}
	}
	if i := slices.IndexFunc(f.FailedVoters, dead); i >= 0 {
		return &autopilot.FailedServers{FailedVoters: f.FailedVoters[i : i+1]}
	}
	return &autopilot.FailedServers{}
}

// earnedVote says that a non-voter wants a vote and has earned it.
func (n *Node) earnedVote(id string) bool {
	f, ok := n.followers.get(id)
	return ok && f.wantsVote && !f.withheld && n.keepsUp(f) && time.Since(f.steady) >= n.cfg.scaled(n.cfg.StableTime)
}

// keepsUp says that a follower is heard of, near the end of the log, and right.
func (n *Node) keepsUp(f follower) bool {
	return time.Since(f.heard) < n.cfg.scaled(time.Second) && f.applied+maxLag >= n.mark.applied() && f.differs == 0
}

// dead says that a member has been silent, to this leader and to gossip, for as
// long as the operator allows. A new leader begins to count anew.
func (n *Node) dead(id string) bool {
	if n.cfg.DeadServerAfter <= 0 || n.followers.silence(id) < n.cfg.DeadServerAfter {
		return false
	}
	return !slices.Contains(n.peers.Members(), id)
}

// removeDead removes a member that is still dead now that it is its turn.
func (n *Node) removeDead(id string) {
	if n.joining.take(n.ctx) != nil {
		return
	}
	defer n.joining.pass()
	s, ok := n.server(id)
	if !ok || !n.Leading() || !n.dead(id) {
		return
	}
	if voters := len(n.voters()); s.Suffrage == raft.Voter && voters <= n.cfg.ClusterSize {
		return
	}
	if err := n.await(n.raft.Load().RemoveServer(s.ID, 0, n.cfg.scaled(membershipTimeout))); err != nil {
		n.log.Warn("could not remove a dead server", "node", id, "error", err)
		return
	}
	n.log.Warn("removed a dead server", "node", id, "silent", n.followers.silence(id).Round(time.Second).String())
	n.followers.drop(id)
}

// pilotRaft is the Raft that autopilot changes: one change at a time, each
// waited for by a node that is closing.
type pilotRaft struct {
	*raft.Raft
	n *Node
}

// membershipTimeout bounds the wait for Raft to take a change of its
// configuration in hand.
const membershipTimeout = 2 * time.Second

// AddVoter implements autopilot.Raft. It looks again when its turn has come: an
// operator may have removed or demoted the node meanwhile, and Raft would make a
// voter of an id that nobody has.
func (r pilotRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, _ uint64, _ time.Duration) raft.IndexFuture {
	if err := r.n.joining.take(r.n.ctx); err != nil {
		return refusedChange{err}
	}
	defer r.n.joining.pass()
	if s, ok := r.n.server(string(id)); !ok || s.Suffrage == raft.Voter || !r.n.earnedVote(string(id)) {
		return refusedChange{fmt.Errorf("%s is not to be promoted any more", id)}
	}
	f := r.Raft.AddVoter(id, address, 0, r.n.cfg.scaled(membershipTimeout))
	if err := r.n.await(f); err == nil {
		r.n.log.Info("promoted a node to voter", "node", string(id))
	}
	return f
}

// RemoveServer implements autopilot.Raft. The library calls it for members that
// KnownServers leaves out, and it leaves out none.
func (r pilotRaft) RemoveServer(id raft.ServerID, _ uint64, _ time.Duration) raft.IndexFuture {
	return refusedChange{fmt.Errorf("autopilot may not remove %s", id)}
}

// DemoteVoter implements autopilot.Raft; pilot never asks for it.
func (r pilotRaft) DemoteVoter(id raft.ServerID, _ uint64, _ time.Duration) raft.IndexFuture {
	return refusedChange{fmt.Errorf("autopilot may not demote %s", id)}
}

// refusedChange is the future of a change that is not made.
type refusedChange struct{ err error }

func (f refusedChange) Error() error  { return f.err }
func (f refusedChange) Index() uint64 { return 0 }
