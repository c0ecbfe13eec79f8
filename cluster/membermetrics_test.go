package cluster

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// series are the values of a node's own metrics: a family's name, and in braces
// the values of its labels.
func series(t *testing.T, n *Node) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	for _, c := range n.metrics.all {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			all[name] = valueOf(m)
		}
	}
	return all
}

// valueOf is a histogram's count, or the value of anything else.
func valueOf(m *dto.Metric) float64 {
	if h := m.GetHistogram(); h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

func TestTheLeaderShowsItsMembersAndAPauseIsMeasured(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		other := s.others(leader.id)[0]
		s.mustSet(other, "k", "v")
		s.eventually(10*time.Second, "all are heard of", func() bool {
			return series(s.t, leader.node)["holdfast_cluster_failure_tolerance"] == 1
		})
		before := series(s.t, other.node)
		for name, want := range map[string]float64{
			"holdfast_cluster_members": 3, "holdfast_cluster_voters": 3, "holdfast_cluster_leading": 0,
			"holdfast_cluster_leader_known": 1, "holdfast_cluster_member": 1, "holdfast_cluster_commit_duration_seconds": 1,
			"holdfast_cluster_write_pause_seconds_total": 0, "holdfast_cluster_failed_proposals_total{no_leader}": 0,
		} {
			if got, ok := before[name]; !ok || got != want {
				s.t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
			}
		}
		if _, shown := before["holdfast_cluster_failure_tolerance"]; shown {
			s.t.Error("a follower shows the leader's view")
		}

		s.isolate(leader.id)
		lost := time.Now()
		next := s.leader(leader.id)
		s.mustSet(other, "k", "w")
		took := time.Since(lost).Seconds()
		after := series(s.t, other.node)
		if got := after["holdfast_cluster_write_pause_seconds_total"]; got < took/2 || got > took+0.2 {
			s.t.Errorf("a pause of %.3f s was measured as %.3f s", took, got)
		}
		if after["holdfast_cluster_leader_changes_total"] <= before["holdfast_cluster_leader_changes_total"] {
			s.t.Error("the new leader was not counted")
		}
		s.eventually(10*time.Second, "the old leader is down", func() bool {
			seen := series(s.t, next.node)
			return seen["holdfast_cluster_member_up{"+leader.id+"}"] == 0 && seen["holdfast_cluster_member_up{"+next.id+"}"] == 1 &&
				seen["holdfast_cluster_failure_tolerance"] == 0 && seen["holdfast_cluster_healthy_voters"] == 2
		})
		// The one that is cut off knows that it cannot write, though Raft had it lead for a while.
		// It says so once its question has failed, which it gives a second.
		s.eventually(2*time.Second, "the leader that was cut off says for how long it could not write", func() bool {
			return series(s.t, leader.node)["holdfast_cluster_write_pause_seconds_total"] >= took/2
		})
		s.net.heal()
		s.eventually(20*time.Second, "all are up again", func() bool {
			return series(s.t, s.leader().node)["holdfast_cluster_failure_tolerance"] == 1
		})
	})
}

func TestAStateHashThatDiffersIsCountedOnce(t *testing.T) {
	var f followers
	var ours hashes
	ours.record(5, 50)
	ours.record(6, 60)
	for _, hash := range []uint64{51, 51, 51} {
		f.hear("a", askBody{applied: 5, hashIndex: 5, hash: hash}, 5, &ours, time.Hour)
	}
	f.hear("b", askBody{applied: 6, hashIndex: 6, hash: 60}, 6, &ours, time.Hour)
	if got := f.mismatches.Load(); got != 1 {
		t.Errorf("%d mismatches", got)
	}
	if got := f.comparisons.Load(); got != 4 {
		t.Errorf("%d comparisons", got)
	}
}
