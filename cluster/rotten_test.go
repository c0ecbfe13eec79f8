package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// harmText changes one letter of a text wherever it is in a file.
func harmText(t *testing.T, path, text string) {
	t.Helper()
	raw := mustRead(t, path)
	if !strings.Contains(string(raw), text) {
		t.Fatalf("%q is not in %s", text, path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	harmed := strings.ReplaceAll(string(raw), text, text[:len(text)-1]+"?")
	if _, err := file.WriteAt([]byte(harmed), 0); err != nil {
		t.Fatal(err)
	}
}

// leading returns the node that leads, of those that are named.
func leading(t *testing.T, nodes []*Node) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for pause(ctx, ctx, time.Millisecond) == nil {
		for _, n := range nodes {
			if n.Leading() {
				return n
			}
		}
	}
	t.Fatal("nobody leads")
	return nil
}

// A leader reads from its file what a follower has missed. What has rotted there must reach nobody: the leader stops, in
// order, and the others, who have it whole, go on.
func TestALeaderWhoseLogHasRottenSendsNothingOfItAndStops(t *testing.T) {
	dir, ids := t.TempDir(), []string{"a", "b", "c"}
	network := newMemNet()
	var nodes []*Node
	var machines []*testMachine
	for _, id := range ids {
		m := openTestMachine(new(disk))
		n, err := Open(Config{
			NodeID: id, DataDir: filepath.Join(dir, id), BootstrapExpect: 3, LogCacheBytes: 1,
			Network: network.Node(id), Peers: &memPeers{ids: ids},
		}, m)
		if err != nil {
			t.Fatal(err)
		}
		nodes, machines = append(nodes, n), append(machines, m)
	}
	defer func() { closeAll(t, nodes) }()
	leader := leading(t, nodes)
	behind := nodes[(slices.Index(nodes, leader)+1)%3]
	third := nodes[(slices.Index(nodes, leader)+2)%3]
	network.Isolate(behind.cfg.NodeID)
	for i := range 20 {
		propose(t, leader, fmt.Sprintf("r%d set k%d rotten%dvalue", i, i, i))
	}
	harmText(t, filepath.Join(dir, leader.cfg.NodeID, LogFile), "rotten3value")
	network.HealAll()
	select {
	case <-leader.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the leader goes on")
	}
	if !errors.Is(leader.Err(), ErrCorrupt) {
		t.Errorf("it stopped because of %v", leader.Err())
	}
	rest := []*Node{behind, third}
	next := leading(t, rest)
	propose(t, next, "last set last v")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := behind.Read(ctx, 0, true); err != nil {
		t.Fatal(err)
	}
	state := machines[slices.Index(nodes, behind)].snapshot()
	for i := range 20 {
		if got := state.Values[fmt.Sprint("k", i)]; got != fmt.Sprintf("rotten%dvalue", i) {
			t.Errorf("k%d is %q", i, got)
		}
	}
}

func TestALogFileThatIsNotWholeIsRefused(t *testing.T) {
	for name, harm := range map[string]func(raw []byte) []byte{
		"cut short":          func(raw []byte) []byte { return raw[:4*os.Getpagesize()] },
		"cut to one page":    func(raw []byte) []byte { return raw[:os.Getpagesize()] },
		"one meta page":      func(raw []byte) []byte { raw[16+20] ^= 1; return raw },
		"the other one":      func(raw []byte) []byte { raw[os.Getpagesize()+16+20] ^= 1; return raw },
		"a bucket's name":    func(raw []byte) []byte { return []byte(strings.ReplaceAll(string(raw), "logs", "logt")) },
		"the term's name":    func(raw []byte) []byte { return []byte(strings.ReplaceAll(string(raw), "CurrentTerm", "CurrentTesm")) },
		"not bbolt's at all": func(raw []byte) []byte { return []byte(strings.Repeat("no log\n", len(raw)/7)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			nodes, _ := realNodes(t, dir, []string{"a"}, newMemNet(), []*disk{{}})
			propose(t, nodes[0], "r1 set k v")
			closeAll(t, nodes)
			path := filepath.Join(dir, "a", LogFile)
			if err := os.WriteFile(path, harm(mustRead(t, path)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Inspect(filepath.Join(dir, "a"), walkFile); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Inspect: %v", err)
			}
			file, err := openInspected(filepath.Join(dir, "a"), walkFile)
			if err == nil {
				_ = file.Close()
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("open: %v", err)
			}
		})
	}
}
