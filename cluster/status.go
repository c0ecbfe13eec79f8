package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// report is what a node says about itself over the peer RPC. Fields are only
// ever added.
type report struct {
	ID          string `json:"id"`
	HTTPAddr    string `json:"http_addr"`
	ClusterAddr string `json:"cluster_addr"`
	Version     string `json:"version"`
	Role        string `json:"role"`
	Zone        string `json:"zone"`
	KeysDigest  string `json:"keys_digest"`
	// PolicyDigest is of the flags that every node should have alike.
	PolicyDigest string `json:"policy_digest,omitempty"`
	// ClusterKeys are the names of its valid cluster keys, that which signs first;
	// PendingKey is the one that is to become the first.
	ClusterKeys []string `json:"cluster_keys,omitempty"`
	PendingKey  string   `json:"pending_key,omitempty"`

	State   string `json:"state"`
	Leader  string `json:"leader"`
	Term    uint64 `json:"term"`
	Cluster uint64 `json:"cluster"`
	// Formed: this node is in a cluster that has had a leader.
	Formed bool `json:"formed"`
	// Virgin: its log holds nothing, or nothing but a first configuration.
	Virgin bool `json:"virgin"`

	Applied    uint64 `json:"applied"`
	LastIndex  uint64 `json:"last_index"`
	HashIndex  uint64 `json:"hash_index"`
	Hash       uint64 `json:"hash"`
	FreshAgeMS int64  `json:"fresh_age_ms"` // -1: never
	Ready      bool   `json:"ready"`

	// WallMS is the node's wall clock, WellSinceMS since when it has been fresh
	// without a break, by that clock (0: it is not), StampMS the time of the last
	// entry that it has applied, by the log's clock.
	WallMS      int64 `json:"wall_ms"`
	WellSinceMS int64 `json:"well_since_ms"`
	StampMS     int64 `json:"stamp_ms"`
	// Level is the highest feature level that it knows, Reached the cluster's.
	Level   uint16 `json:"level"`
	Reached uint16 `json:"reached"`
	// DiskFree and DiskSize are bytes of the data directory's disk; 0: not known.
	DiskFree int64 `json:"disk_free"`
	DiskSize int64 `json:"disk_size"`
	// NonVoter: an operator has taken its vote.
	NonVoter bool `json:"non_voter"`
	Draining bool `json:"draining"`
}

func (n *Node) report() report {
	r := report{
		ID: n.cfg.NodeID, HTTPAddr: n.cfg.HTTPAddr, ClusterAddr: n.cfg.AdvertiseAddr, Version: n.cfg.Version,
		Role: n.cfg.Role, Zone: n.cfg.Zone, KeysDigest: n.cfg.KeysDigest(), PolicyDigest: n.cfg.PolicyDigest,
		State:      "joining",
		Cluster:    n.machine.Cluster(),
		Virgin:     n.pristine(),
		Applied:    n.mark.applied(),
		FreshAgeMS: -1,
		Ready:      n.Ready() == nil,
		NonVoter:   n.nonVoter.Load(),
		Draining:   n.draining.Load(),
	}
	r.HashIndex, r.Hash = n.machine.Hash()
	r.ClusterKeys, r.PendingKey = n.KeyNames(), n.pendingKey()
	_, _, r.StampMS = n.machine.Applied()
	r.Reached, r.Level = n.machine.Level()
	r.DiskFree, r.DiskSize = n.cfg.Disk()
	r.WallMS = n.cfg.Wall().UnixMilli()
	if since := n.wellSince.Load(); since != nil && n.FreshAge() <= n.cfg.MaxStaleness {
		r.WellSinceMS = r.WallMS - time.Since(*since).Milliseconds()
	}
	if n.fresh.answer.Load() != nil {
		r.FreshAgeMS = n.FreshAge().Milliseconds()
	}
	if inner := n.raft.Load(); inner != nil {
		r.State = strings.ToLower(inner.State().String())
		r.Leader, _ = n.Leader()
		r.Term = inner.CurrentTerm()
		r.LastIndex = inner.LastIndex()
		r.Formed = !r.Virgin
	}
	return r
}

// States of a member that are none of Raft's.
const (
	stateDown     = "down"
	stateDraining = "draining"
)

// Member is one node of the cluster as it describes itself, or as the leader's
// configuration knows it when it does not answer (State "down").
type Member struct {
	ID, HTTPAddr, ClusterAddr, Version, Role, Zone, KeysDigest string

	// Configured: the cluster's configuration holds it. Voter: with a vote.
	Configured, Voter bool
	// State is leader, follower, candidate, joining, draining or down.
	State string
	// LastContact is the age of its last proof of freshness; -1 if there is none.
	LastContact  time.Duration
	AppliedIndex uint64
	// Lag is how many entries it is behind the furthest member, and LagTime by how
	// much the last entry that it has applied is older.
	Lag     uint64
	LagTime time.Duration
	// StateHash is of the entry HashIndex: compare only at equal indexes.
	HashIndex, StateHash uint64
	// Healthy: it answers, keeps up and is fresh. HealthySince is since when, by
	// its own wall clock; zero where it is not.
	Healthy      bool
	HealthySince time.Time
	// Wall is its wall clock when it answered.
	Wall time.Time
	// Level is the highest feature level that its release knows.
	Level uint16
	// DiskFree and DiskSize are bytes of its data directory's disk; 0: not known.
	DiskFree, DiskSize int64
	// Demoted: an operator has taken its vote.
	Demoted bool
	// ClusterKeys are the names of its valid cluster keys, that which signs first.
	ClusterKeys []string
	// PolicyDigest is of the flags that every node should have alike.
	PolicyDigest string
}

// Status is the cluster as one node sees it now.
type Status struct {
	// Cluster is the numeric id of the log, 0 before there is one.
	Cluster uint64
	Leader  string
	Term    uint64
	// Healthy: there is a leader and every member is healthy.
	Healthy bool
	// FailureTolerance is how many more healthy voters may be lost.
	FailureTolerance int
	// Level is the feature level that the log has reached.
	Level   uint16
	Members []Member
}

// Status asks every member that the configuration or gossip knows; those that do
// not answer within a second are down.
func (n *Node) Status(ctx context.Context) (Status, error) {
	if n.ctx.Err() != nil {
		return Status{}, n.closedError()
	}
	configured := make(map[string]raft.Server)
	ids := n.members()
	for _, s := range n.configuration().Servers {
		configured[string(s.ID)] = s
		ids = append(ids, string(s.ID))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	reports, failed := n.reports(ctx, ids)

	own := n.report()
	s := Status{Cluster: own.Cluster, Leader: own.Leader, Term: own.Term, Level: own.Reached}
	// A node of another cluster is met in gossip only, and named in the log.
	reports = slices.DeleteFunc(reports, func(r report) bool {
		return own.Cluster != 0 && r.Cluster != 0 && r.Cluster != own.Cluster
	})
	var furthest report
	for _, r := range reports {
		if r.Applied >= furthest.Applied {
			furthest = r
		}
	}
	for _, r := range reports {
		s.Members = append(s.Members, n.member(r, configured[r.ID], furthest))
	}
	for _, id := range failed {
		if configured[id].ID == "" {
			continue // gossip remembers the dead for a while
		}
		addr, _ := n.peers.Address(id)
		s.Members = append(s.Members, Member{
			ID: id, ClusterAddr: addr, State: stateDown, LastContact: -1,
			Configured: configured[id].ID != "", Voter: configured[id].Suffrage == raft.Voter && configured[id].ID != "",
		})
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	s.judge()
	return s, nil
}

func (n *Node) member(r report, server raft.Server, furthest report) Member {
	m := Member{
		ID: r.ID, HTTPAddr: r.HTTPAddr, ClusterAddr: r.ClusterAddr, Version: r.Version, Role: r.Role, Zone: r.Zone,
		KeysDigest: r.KeysDigest, ClusterKeys: r.ClusterKeys, PolicyDigest: r.PolicyDigest, State: r.State, AppliedIndex: r.Applied, Lag: furthest.Applied - r.Applied,
		HashIndex: r.HashIndex, StateHash: r.Hash, Level: r.Level, DiskFree: r.DiskFree, DiskSize: r.DiskSize,
		Demoted: r.NonVoter, Wall: time.UnixMilli(r.WallMS), Configured: server.ID != "",
		Voter:       server.ID != "" && server.Suffrage == raft.Voter,
		LastContact: time.Duration(r.FreshAgeMS) * time.Millisecond,
	}
	if r.FreshAgeMS < 0 {
		m.LastContact = -1
	}
	if m.Lag > 0 && r.StampMS > 0 {
		m.LagTime = time.Duration(max(0, furthest.StampMS-r.StampMS)) * time.Millisecond
	}
	if r.Draining {
		m.State = stateDraining
	}
	m.Healthy = server.ID != "" && m.LastContact >= 0 && m.LastContact <= n.cfg.MaxStaleness && m.Lag <= maxLag && !r.Draining
	if m.Healthy && r.WellSinceMS > 0 {
		m.HealthySince = time.UnixMilli(r.WellSinceMS)
	}
	return m
}

// judge fills in what follows from the members.
func (s *Status) judge() {
	voters, well := 0, 0
	s.Healthy = s.Leader != ""
	for _, m := range s.Members {
		if m.Configured && !m.Healthy {
			s.Healthy = false
		}
		if m.Voter {
			voters++
			if m.Healthy {
				well++
			}
		}
	}
	s.FailureTolerance = max(0, well-(voters/2+1))
}

// Ready says why this node should not be sent requests, nil if it should: it is
// in a cluster, was fresh within MaxStaleness, and is not draining. A leaderless
// moment that is shorter than that is still ready, or every election would
// empty the load balancer.
func (n *Node) Ready() error {
	var faults []error
	for _, c := range n.Checks() {
		if c.Err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	return errors.Join(faults...)
}

// Check is one thing that must be well for a node to serve. Err is nil if it is.
type Check struct {
	Name string
	Err  error
}

// Checks are what Ready looks at, in a fixed order.
func (n *Node) Checks() []Check {
	running := Check{Name: "running"}
	if n.ctx.Err() != nil {
		running.Err = n.closedError()
	}
	member := Check{Name: "member"}
	if n.raft.Load() == nil {
		member.Err = errors.New("not in a cluster yet")
	}
	fresh := Check{Name: "fresh"}
	switch age := n.FreshAge(); {
	case n.fresh.answer.Load() == nil:
		fresh.Err = errors.New("never was fresh")
	case age > n.cfg.MaxStaleness:
		fresh.Err = fmt.Errorf("last proof of freshness is %s old", age.Round(time.Millisecond))
	}
	draining := Check{Name: "draining"}
	if n.draining.Load() {
		draining.Err = errors.New("this node is draining")
	}
	return []Check{running, member, fresh, draining}
}
