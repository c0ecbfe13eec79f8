package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/session"
)

// clusterView shows a node of the cluster to the HTTP surface, which must not know package cluster.
type clusterView struct {
	node   *cluster.Node
	disk   *disk
	public func() uint64 // what clients know the cluster by
}

func (v clusterView) IsLeader() bool { return v.node.Leading() }

func (v clusterView) Ready(context.Context) []api.Check {
	var checks []api.Check
	for _, c := range v.node.Checks() {
		check := api.Check{Name: c.Name, OK: c.Err == nil}
		if c.Err != nil {
			check.Detail = c.Err.Error()
		}
		checks = append(checks, check)
	}
	return append(checks, v.disk.check())
}

func (v clusterView) Applied(ctx context.Context, index uint64) (on, missing []string, err error) {
	on, missing, err = v.node.Applied(ctx, index)
	return on, missing, fsm.AsSession(err)
}

func (v clusterView) Status(ctx context.Context) (api.Status, error) {
	status, err := v.node.Status(ctx)
	if err != nil {
		return api.Status{}, fsm.AsSession(err)
	}
	answer := api.Status{
		Cluster: fmt.Sprintf("%016x", v.public()), Leader: status.Leader, Term: status.Term,
		Healthy: status.Healthy, FailureTolerance: status.FailureTolerance, FeatureLevel: status.Level,
		Members: make([]api.Member, 0, len(status.Members)),
	}
	for _, m := range status.Members {
		answer.Members = append(answer.Members, memberView(m, status.Leader))
	}
	return answer, nil
}

func memberView(m cluster.Member, leader string) api.Member {
	view := api.Member{
		ID: m.ID, HTTPAddr: m.HTTPAddr, ClusterAddr: m.ClusterAddr, Version: m.Version, Role: m.Role, Voter: m.Voter,
		State: m.State, LastContactMS: m.LastContact.Milliseconds(), AppliedIndex: m.AppliedIndex, Lag: m.Lag,
		KeysDigest: m.KeysDigest, Healthy: m.Healthy, Zone: m.Zone, Demoted: m.Demoted, LagMS: m.LagTime.Milliseconds(),
		FeatureLevel: m.Level, DiskFreeBytes: m.DiskFree, DiskSizeBytes: m.DiskSize,
		HealthySince: clockText(m.HealthySince), Clock: clockText(m.Wall),
	}
	if m.LastContact < 0 {
		view.LastContactMS = -1
	}
	if m.State != stateDown {
		// Hashes are of an index each: equal ones at equal indexes mean equal states.
		view.StateHash = fmt.Sprintf("%d:%016x", m.HashIndex, m.StateHash)
	}
	view.ClusterKeys, view.PolicyDigest = m.ClusterKeys, m.PolicyDigest
	if !m.Healthy {
		view.Detail = trouble(m, leader)
	}
	return view
}

// clockText is a time as the API writes it, empty for none.
func clockText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func (v clusterView) Change(ctx context.Context, c api.MembershipChange) (api.MembershipEffect, error) {
	verb := cluster.Verb(c.Action)
	if c.Action == api.ActionTransfer {
		verb = cluster.VerbTransfer
	}
	e, err := v.node.Change(ctx, cluster.Change{Verb: verb, ID: c.Node, Force: c.Force, DryRun: c.DryRun})
	return api.MembershipEffect{
		Action: c.Action, Node: e.ID, Changed: e.Changed, Leader: e.Leader, VotersBefore: e.VotersBefore, Voters: e.Voters,
		FailureToleranceBefore: e.ToleranceBefore, FailureTolerance: e.Tolerance,
	}, refusedChange(err)
}

// refusedChange gives the reasons for which a cluster refuses a change their codes.
func refusedChange(err error) error {
	for reason, code := range map[error]*session.Error{
		cluster.ErrUnknownMember: session.ErrNotFound, cluster.ErrUnsafe: session.ErrQuorumAtRisk, cluster.ErrImpossible: session.ErrChangeRefused,
	} {
		if errors.Is(err, reason) {
			return code.With("%v", err)
		}
	}
	return fsm.AsSession(err)
}

// stateDown is the state of a member that does not answer.
const (
	stateDown     = "down"
	stateDraining = "draining"
)

// trouble says why a member is not healthy, as far as one can tell from here.
func trouble(m cluster.Member, leader string) string {
	switch {
	case m.State == stateDown:
		return "does not answer"
	case m.LastContact < 0:
		return "was never fresh"
	case leader == "":
		return "there is no leader"
	case m.State == stateDraining:
		return "is draining"
	case !m.Configured:
		return "is not in the cluster's configuration"
	case m.Lag > 0:
		return fmt.Sprintf("%d entries behind", m.Lag)
	default:
		return fmt.Sprintf("last proof of freshness is %s old", m.LastContact)
	}
}
