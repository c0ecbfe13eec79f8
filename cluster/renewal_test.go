package cluster

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

func TestCertificatesAreRenewedWhileConnectionsGoOn(t *testing.T) {
	dir := t.TempDir()
	keyFile := writeKey(t, dir)
	var ahead atomic.Int64
	wall := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	seed := freePort(t)
	disks, nodes := map[string]*disk{"n1": {}, "n2": {}, "n3": {}}, map[string]*Node{}
	start := func(id, gossipAddr string) {
		t.Helper()
		config := realConfig(dir, id, keyFile, "127.0.0.1:0", gossipAddr, []string{seed})
		config.Wall = wall
		n, err := Open(config, openTestMachine(disks[id]))
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
	request := 0
	write := func() {
		t.Helper()
		for id, n := range nodes {
			request++
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			_, _, err := n.Propose(ctx, fmt.Appendf(nil, "r%d set k%d v", request, request))
			cancel()
			if err != nil {
				t.Fatalf("through %s: %v", id, err)
			}
		}
	}
	write()
	for _, days := range []int{21, 100, 1000} {
		before := map[string]time.Time{}
		for id, n := range nodes {
			before[id], _ = n.authority.Load().NotAfter()
		}
		ahead.Store(int64(days) * int64(24*time.Hour))
		write()
		for id, n := range nodes {
			if after, err := n.authority.Load().NotAfter(); err != nil || !after.After(before[id]) {
				t.Errorf("after %d days %s shows a certificate until %s, %v", days, id, after, err)
			}
		}
		// A connection is as good as the key that it was made under: its
		// certificate's end does not end it.
		if days < 30 {
			continue
		}
		// A change of keys looks at every certificate again, and those that have
		// ended go, too. Nobody notices but the next handshakes.
		dropped := 0
		for _, n := range nodes {
			dropped += n.mux.DropPeers()
		}
		if dropped == 0 {
			t.Errorf("after %d days no connection has an old certificate", days)
		}
		write()
	}
	if err := nodes["n2"].Close(); err != nil {
		t.Error(err)
	}
	start("n2", "127.0.0.1:0")
	write()
	readStrong(t, nodes["n2"])
}
