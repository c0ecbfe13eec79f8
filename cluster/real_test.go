package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// realConfig is a node as an operator runs it: TLS, gossip, raft.db.
func realConfig(dir, id, keyFile, clusterAddr, gossipAddr string, join []string) Config {
	return Config{
		NodeID: id, DataDir: filepath.Join(dir, id), KeyFile: keyFile,
		ClusterAddr: clusterAddr, GossipAddr: gossipAddr, Join: join, BootstrapExpect: 3,
		HTTPAddr: "http://" + id, Version: "test",
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func writeKey(t *testing.T, dir string) string {
	t.Helper()
	key, err := pki.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cluster.key")
	if err := os.WriteFile(path, []byte(key.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readStrong(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := n.Read(ctx, 0, true); err != nil {
		t.Fatal(err)
	}
}

func TestThreeRealNodesFormWriteRestartUnderNewAddressesAndRefuseStrangers(t *testing.T) {
	dir := t.TempDir()
	keyFile := writeKey(t, dir)
	ids := []string{"n1", "n2", "n3"}
	seed := freePort(t)
	disks := map[string]*disk{"n1": {}, "n2": {}, "n3": {}}
	machines := map[string]*testMachine{}
	nodes := map[string]*Node{}
	start := func(id, gossipAddr string) {
		t.Helper()
		machines[id] = openTestMachine(disks[id])
		n, err := Open(realConfig(dir, id, keyFile, "127.0.0.1:0", gossipAddr, []string{seed}), machines[id])
		if err != nil {
			t.Fatal(err)
		}
		nodes[id] = n
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	start("n1", seed)
	start("n2", "127.0.0.1:0")
	start("n3", "127.0.0.1:0")
	for i, id := range ids {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		_, _, err := nodes[id].Propose(ctx, fmt.Appendf(nil, "r%d set k%d v", i, i))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		readStrong(t, nodes[id])
		if machines[id].get("k2") != "v" {
			t.Errorf("%s lacks a write", id)
		}
	}
	// Both of the others restart, each on ports of its own.
	for _, id := range []string{"n2", "n3"} {
		if err := nodes[id].Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := nodes[id].Close(); err != nil {
			t.Error(err)
		}
		start(id, "127.0.0.1:0")
		readStrong(t, nodes[id])
	}
	status, err := nodes["n1"].Status(t.Context())
	if err != nil || len(status.Members) != 3 || status.Members[0].HTTPAddr != "http://n1" {
		t.Errorf("%+v, %v", status, err)
	}
	for _, c := range []struct{ id, key, want string }{
		{"n9", keyFile, `belongs to node "n1"`},
		{"n1", writeKey(t, t.TempDir()), "belongs to the cluster of key"},
	} {
		config := realConfig(dir, "n1", c.key, "127.0.0.1:0", "127.0.0.1:0", nil)
		config.NodeID = c.id
		if _, err := Open(config, openTestMachine(new(disk))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("opened the directory as %s: %v", c.id, err)
		}
	}
}
