package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// realNodes opens nodes on real files and in real time.
func realNodes(t testing.TB, dir string, ids []string, network *memNet, disks []*disk) ([]*Node, []*testMachine) {
	t.Helper()
	var nodes []*Node
	var machines []*testMachine
	for i, id := range ids {
		m := openTestMachine(disks[i])
		n, err := Open(Config{
			NodeID: id, DataDir: filepath.Join(dir, id), BootstrapExpect: len(ids),
			Network: network.Node(id), Peers: &memPeers{ids: ids},
		}, m)
		if err != nil {
			t.Fatal(err)
		}
		nodes, machines = append(nodes, n), append(machines, m)
	}
	return nodes, machines
}

func closeAll(t testing.TB, nodes []*Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func propose(t testing.TB, n *Node, command string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, index, err := n.Propose(ctx, []byte(command))
	if err != nil {
		t.Fatalf("propose %q: %v", command, err)
	}
	return index
}

func TestARestartOnRealFilesKeepsEverythingAndAppliesNothingTwice(t *testing.T) {
	dir, ids := t.TempDir(), []string{"a", "b", "c"}
	network := newMemNet()
	disks := []*disk{{}, {}, {}}
	nodes, machines := realNodes(t, dir, ids, network, disks)
	for i := range 40 {
		propose(t, nodes[i%3], fmt.Sprintf("r%d set k%d v", i, i))
		if i == 20 {
			for _, m := range machines {
				index, term, _ := m.Applied()
				if err := m.Flush(index, term); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	closeAll(t, nodes)
	nodes, machines = realNodes(t, dir, ids, network, disks)
	defer func() { closeAll(t, nodes) }()
	for i, n := range nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := n.Read(ctx, 0, true)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		state := machines[i].snapshot()
		for r := range 40 {
			if state.Values[fmt.Sprint("k", r)] != "v" || state.Times[fmt.Sprint("r", r)] != 1 {
				t.Errorf("%s: request %d took effect %d times", ids[i], r, state.Times[fmt.Sprint("r", r)])
			}
		}
	}
}

func TestAFlippedBitInTheLogStopsTheNode(t *testing.T) {
	dir := t.TempDir()
	nodes, _ := realNodes(t, dir, []string{"a"}, newMemNet(), []*disk{{}})
	propose(t, nodes[0], "r1 set needle v1")
	closeAll(t, nodes)
	path := filepath.Join(dir, "a", "raft.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The table knows nothing yet, so the entry is read again after the restart.
	if !strings.Contains(string(raw), "set needle v1") {
		t.Fatal("the entry is not in the file")
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), "set needle v1", "set needle v2")), 0o600); err != nil {
		t.Fatal(err)
	}
	m := openTestMachine(new(disk))
	n, err := Open(Config{
		NodeID: "a", DataDir: filepath.Join(dir, "a"), BootstrapExpect: 1,
		Network: newMemNet().Node("a"), Peers: &memPeers{ids: []string{"a"}},
	}, m)
	if err == nil {
		defer n.Close()
		<-n.Done()
		err = n.Err()
	}
	if err == nil || !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("it stopped because of %v", err)
	}
	if m.get("needle") != "" {
		t.Error("the rotten entry was applied")
	}
}

func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			ids := []string{"a", "b", "c"}
			network := newMemNet()
			nodes, machines := realNodes(b, b.TempDir(), ids, network, []*disk{{}, {}, {}})
			defer closeAll(b, nodes)
			propose(b, nodes[0], "w set a b")
			var next atomic.Int64
			var all sync.WaitGroup
			pad := strings.Repeat("x", 300)
			entries := machines[0].snapshot().Entries
			b.ResetTimer()
			for c := range callers {
				all.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						propose(b, nodes[c%3], fmt.Sprintf("r%d set k%d %s", i, i%1000, pad))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
			b.ReportMetric(float64(b.N)/float64(machines[0].snapshot().Entries-entries), "commands/entry")
		})
	}
}
