package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// sim is a cluster of real Raft nodes on a network in memory, in a bubble of
// fake time.
type sim struct {
	t         *testing.T
	net       *memNet
	ids       []string
	nodes     map[string]*simNode
	configure func(*Config)
	request   int
	peers     *memPeers // what gossip tells everybody
}

type simNode struct {
	id      string
	stores  *raft.InmemStore
	disk    *disk
	dir     string
	offset  time.Duration // of its wall clock
	node    *Node         // nil while it is down
	machine *testMachine
}

// simulate runs test against a new cluster of size nodes that has a leader.
func simulate(t *testing.T, size int, configure func(*Config), test func(s *sim)) {
	t.Helper()
	bubble(t, size, configure, func(s *sim) {
		s.startAll()
		s.leader()
		test(s)
	})
}

// bubble runs test against nodes that are not started yet.
func bubble(t *testing.T, size int, configure func(*Config), test func(s *sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, size, configure)
		defer s.close()
		test(s)
	})
}

func newSim(t *testing.T, size int, configure func(*Config)) *sim {
	s := &sim{t: t, net: newMemNet(), nodes: make(map[string]*simNode), configure: configure, peers: new(memPeers)}
	for i := range size {
		s.add(fmt.Sprintf("n%d", i+1))
	}
	return s
}

func (s *sim) add(id string) *simNode {
	one := &simNode{id: id, stores: raft.NewInmemStore(), disk: new(disk), dir: s.t.TempDir()}
	s.ids = append(s.ids, id)
	s.nodes[id] = one
	s.peers.meet(id)
	return one
}

func (s *sim) config(one *simNode) Config {
	c := Config{
		NodeID: one.id, DataDir: one.dir, BootstrapExpect: len(s.ids),
		Network: s.net.Node(one.id), Peers: s.peers,
		Logs: one.stores, Stable: one.stores,
		Wall: func() time.Time {
			s.net.mu.Lock()
			defer s.net.mu.Unlock()
			return time.Now().Add(one.offset)
		},
	}
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", one.id)
	}
	if s.configure != nil {
		s.configure(&c)
	}
	return c
}

func (s *sim) start(id string) *Node {
	s.t.Helper()
	one := s.nodes[id]
	one.machine = openTestMachine(one.disk)
	n, err := Open(s.config(one), one.machine)
	if err != nil {
		s.t.Fatalf("open %s: %v", id, err)
	}
	one.node = n
	return n
}

func (s *sim) startAll() {
	for _, id := range s.ids {
		s.start(id)
	}
}

// kill ends a node as a kill would: what its machine had not flushed is gone.
func (s *sim) kill(id string) {
	one := s.nodes[id]
	if one.node == nil {
		return
	}
	n := one.node
	one.node = nil
	if err := n.Close(); err != nil {
		s.t.Errorf("close %s: %v", id, err)
	}
}

func (s *sim) wipe(id string) {
	one := s.nodes[id]
	one.stores, one.disk, one.dir = raft.NewInmemStore(), new(disk), s.t.TempDir()
}

func (s *sim) close() {
	s.net.heal()
	for _, id := range s.ids {
		s.kill(id)
	}
	// The library's own goroutines end by themselves, a little later.
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func (s *sim) eventually(limit time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// leader waits for the one node that leads with a majority behind it.
func (s *sim) leader(but ...string) *simNode {
	s.t.Helper()
	var found *simNode
	s.eventually(20*time.Second, "a leader", func() bool {
		for _, id := range s.ids {
			one := s.nodes[id]
			if one.node != nil && !slices.Contains(but, id) && one.node.Leading() {
				found = one
				return true
			}
		}
		return false
	})
	return found
}

func (s *sim) others(id string) []*simNode {
	var rest []*simNode
	for _, other := range s.ids {
		if other != id && s.nodes[other].node != nil {
			rest = append(rest, s.nodes[other])
		}
	}
	return rest
}

// set proposes through one node. Each call is one request, however often it is
// tried.
func (s *sim) set(one *simNode, key, value string, limit time.Duration) (uint64, error) {
	s.request++
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	reply, index, err := one.node.Propose(ctx, fmt.Appendf(nil, "r%d set %s %s", s.request, key, value))
	if err == nil && string(reply) != "ok "+value {
		s.t.Errorf("reply to %s=%s is %q", key, value, reply)
	}
	return index, err
}

func (s *sim) mustSet(one *simNode, key, value string) uint64 {
	s.t.Helper()
	index, err := s.set(one, key, value, 10*time.Second)
	if err != nil {
		s.t.Fatalf("set %s=%s through %s: %v", key, value, one.id, err)
	}
	return index
}

func (s *sim) read(one *simNode, key string, atLeast uint64, strong bool, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := one.node.Read(ctx, atLeast, strong); err != nil {
		return "", err
	}
	return one.machine.get(key), nil
}

func (s *sim) mustRead(one *simNode, key, want string, atLeast uint64, strong bool) {
	s.t.Helper()
	got, err := s.read(one, key, atLeast, strong, 5*time.Second)
	if err != nil || got != want {
		s.t.Errorf("read %s on %s: %q, %v; want %q", key, one.id, got, err, want)
	}
}

// isolate cuts a node off from all others, both ways.
func (s *sim) isolate(id string) {
	for _, other := range s.ids {
		if other != id {
			s.net.set(id, other, true)
			s.net.set(other, id, true)
		}
	}
}

// converge waits until all running nodes have applied the same, and compares.
func (s *sim) converge() {
	s.t.Helper()
	s.eventually(30*time.Second, "equal states", func() bool {
		var first *testState
		for _, id := range s.ids {
			one := s.nodes[id]
			if one.node == nil {
				continue
			}
			state := one.machine.snapshot()
			if first == nil {
				first = state
			}
			if state.HashIndex != first.HashIndex || state.Hash != first.Hash {
				return false
			}
		}
		return true
	})
	for _, id := range s.ids {
		one := s.nodes[id]
		if one.node == nil {
			continue
		}
		for request, times := range one.machine.snapshot().Times {
			if times != 1 {
				s.t.Errorf("%s: request %s took effect %d times", id, request, times)
			}
		}
	}
}
