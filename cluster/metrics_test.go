package cluster

import (
	"strings"
	"testing"

	metrics "github.com/hashicorp/go-metrics/compat"
	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

func countRounds(n *Node) float64 {
	return gathered(n.metrics.rounds)
}

// The libraries report to go-metrics or to its twin, depending on a build tag.
// Whichever it is, their series must be there.
func TestTheSeriesOfAllLibrariesAreThere(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := InstallMetrics(registry); err != nil {
		t.Fatal(err)
	}
	// The sink is the process's; other tests run in other times.
	t.Cleanup(func() {
		silent := metrics.DefaultConfig("none")
		silent.EnableRuntimeMetrics = false // or it leaves a goroutine behind
		_, _ = metrics.NewGlobal(silent, &metrics.BlackholeSink{})
	})
	config := memberlist.DefaultLocalConfig()
	config.BindPort, config.LogOutput = 0, discard{}
	gossip, err := memberlist.Create(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gossip.Join([]string{gossip.LocalNode().FullAddress().Addr}); err != nil {
		t.Fatal(err)
	}
	defer gossip.Shutdown()

	m := openTestMachine(new(disk))
	n, err := Open(Config{
		NodeID: "a", DataDir: t.TempDir(), BootstrapExpect: 1, Metrics: registry,
		Network: newMemNet().Node("a"), Peers: &memPeers{ids: []string{"a"}},
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	propose(t, n, "r1 set k v")
	families, err := registry.Gather()
	if err != nil {
		t.Error(err)
	}
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, name := range []string{
		"holdfast_raft_apply", "holdfast_raft_commitTime", "holdfast_raft_state_leader",
		"holdfast_raft_boltdb_storeLogs", "holdfast_raft_boltdb_logSize",
		"holdfast_memberlist_tcp_connect",
		"holdfast_cluster_batch_commands", "holdfast_cluster_freshness_age_seconds", "holdfast_cluster_elections_won_total",
		"holdfast_cluster_applied_index", "holdfast_cluster_freshness_rounds_total", "holdfast_cluster_forwarded_commands_total",
	} {
		if !names[name] {
			t.Errorf("%s is not there", name)
		}
	}
	if t.Failed() {
		for name := range names {
			if strings.Contains(name, "raft") || strings.Contains(name, "memberlist") {
				t.Log(name)
			}
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	// A closed node leaves its names to the next one.
	if _, err := newNodeMetrics(n, registry); err != nil {
		t.Error(err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func gathered(c prometheus.Collector) float64 {
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return -1
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		return -1
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
