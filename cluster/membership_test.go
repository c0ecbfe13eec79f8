package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func suffrage(n *Node, id string) (raft.ServerSuffrage, bool) {
	for _, s := range n.configuration().Servers {
		if string(s.ID) == id {
			return s.Suffrage, true
		}
	}
	return 0, false
}

func TestAWipedNodeJoinsAsANonVoterAndIsPromotedOnceItHasKeptUp(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for i := range 20 {
			s.mustSet(s.nodes["n1"], fmt.Sprint("k", i), "v")
		}
		leader := s.leader()
		wiped := s.others(leader.id)[0]
		s.kill(wiped.id)
		s.wipe(wiped.id)
		s.mustSet(leader, "while", "away")
		s.start(wiped.id)
		s.eventually(5*time.Second, "the wiped node is a non-voter", func() bool {
			kind, ok := suffrage(leader.node, wiped.id)
			return ok && kind == raft.Nonvoter
		})
		s.mustRead(wiped, "while", "away", 0, true)
		if kind, _ := suffrage(leader.node, wiped.id); kind != raft.Nonvoter {
			t.Error("promoted before the stable time")
		}
		s.eventually(10*time.Second, "the wiped node is promoted", func() bool {
			kind, ok := suffrage(leader.node, wiped.id)
			return ok && kind == raft.Voter
		})
		// It counts now: the cluster goes on without the third.
		s.kill(s.others(wiped.id)[0].id)
		s.mustSet(wiped, "k", "v")
	})
}

func TestAWipedNodeOpensNoRaftTransportBeforeItIsAddedAgain(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.nodes["n1"], "k", "v")
		for _, id := range s.ids {
			s.kill(id)
		}
		// Two are gone and one is wiped: a majority that remembers is not there,
		// so nothing may be decided.
		s.wipe("n1")
		s.start("n1")
		s.start("n2")
		time.Sleep(30 * time.Second)
		if s.nodes["n1"].node.raft.Load() != nil {
			t.Fatal("a wiped node runs Raft")
		}
		if s.nodes["n2"].node.Leading() {
			t.Fatal("a wiped node has voted")
		}
		s.start("n3")
		s.mustRead(s.nodes["n1"], "k", "v", 0, true)
		s.converge()
	})
}

func TestAFollowerFarBehindCatchesUpByAnArchive(t *testing.T) {
	small := func(c *Config) {
		c.SnapshotBytes, c.TrailingEntries = 4<<10, 4
	}
	simulate(t, 3, small, func(s *sim) {
		leader := s.leader()
		behind := s.others(leader.id)[0]
		s.mustSet(leader, "before", "x")
		s.kill(behind.id)
		for i := range 200 {
			s.mustSet(leader, fmt.Sprint("k", i), "v")
		}
		time.Sleep(3 * time.Second)
		first, err := leader.node.logs.FirstIndex()
		if err != nil || first < 50 {
			t.Fatalf("the leader's log still begins at %d: %v", first, err)
		}
		s.start(behind.id)
		s.mustRead(behind, "k199", "v", 0, true)
		if behind.node.snapshots.lastInstalled() == 0 {
			t.Error("no archive was installed")
		}
		s.converge()
		// And again after a restart, from what it had made durable.
		s.kill(behind.id)
		s.mustSet(leader, "later", "x")
		s.start(behind.id)
		s.mustRead(behind, "later", "x", 0, true)
		s.mustRead(behind, "k0", "v", 0, true)
		s.converge()
	})
}

func TestAWipedNodeCatchesUpByAnArchive(t *testing.T) {
	small := func(c *Config) { c.SnapshotBytes, c.TrailingEntries = 4<<10, 4 }
	simulate(t, 3, small, func(s *sim) {
		leader := s.leader()
		wiped := s.others(leader.id)[0]
		for i := range 200 {
			s.mustSet(leader, fmt.Sprint("k", i), "v")
		}
		time.Sleep(3 * time.Second)
		s.kill(wiped.id)
		s.wipe(wiped.id)
		s.start(wiped.id)
		for i := range 200 {
			s.mustRead(wiped, fmt.Sprint("k", i), "v", 0, i == 0)
		}
		if wiped.node.snapshots.lastInstalled() == 0 {
			t.Error("no archive was installed")
		}
		s.eventually(20*time.Second, "the wiped node is promoted", func() bool {
			kind, ok := suffrage(s.leader().node, wiped.id)
			return ok && kind == raft.Voter
		})
		s.converge()
	})
}

func TestARestartSkipsWhatTheTableHolds(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for i := range 50 {
			s.mustSet(s.nodes["n1"], fmt.Sprint("k", i), "v")
			if i == 25 {
				for _, id := range s.ids {
					index, term, _ := s.nodes[id].machine.Applied()
					if err := s.nodes[id].machine.Flush(index, term); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, id := range s.ids {
			s.kill(id)
		}
		s.startAll()
		s.leader()
		for _, id := range s.ids {
			s.mustRead(s.nodes[id], "k49", "v", 0, true)
			s.mustRead(s.nodes[id], "k0", "v", 0, true)
		}
		s.converge()
	})
}

func TestARemovedNodeSaysSoAndStops(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		gone := s.others(leader.id)[0]
		r := leader.node.raft.Load()
		if err := leader.node.await(r.RemoveServer(raft.ServerID(gone.id), 0, time.Second)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-gone.node.Done():
		case <-time.After(30 * time.Second):
			t.Fatal("the removed node goes on")
		}
		if !errors.Is(gone.node.Err(), ErrRemoved) {
			t.Errorf("it stopped because of %v", gone.node.Err())
		}
		if _, err := s.read(gone, "k", 0, false, time.Second); !errors.Is(err, ErrStale) {
			t.Errorf("a removed node answers %v", err)
		}
	})
}

func TestANodeWhoseStateDiffersTakesItselfOut(t *testing.T) {
	t.Run("follower", func(t *testing.T) {
		simulate(t, 3, nil, func(s *sim) {
			leader := s.leader()
			s.spoil(s.others(leader.id)[0])
			s.mustSet(leader, "k", "v")
			s.expectDiverged(s.others(leader.id)[0])
			s.mustSet(leader, "k", "w")
		})
	})
	t.Run("leader", func(t *testing.T) {
		simulate(t, 3, nil, func(s *sim) {
			leader := s.leader()
			s.spoil(leader)
			s.mustSet(s.others(leader.id)[0], "k", "v")
			s.expectDiverged(leader)
			s.mustSet(s.others(leader.id)[1], "k", "w")
		})
	})
}

func (s *sim) spoil(one *simNode) {
	one.machine.mu.Lock()
	defer one.machine.mu.Unlock()
	one.machine.spoil = true
}

func (s *sim) expectDiverged(one *simNode) {
	s.t.Helper()
	select {
	case <-one.node.Done():
	case <-time.After(10 * time.Second):
		s.t.Fatal("a diverged node goes on")
	}
	if !errors.Is(one.node.Err(), ErrDiverged) {
		s.t.Errorf("it stopped because of %v", one.node.Err())
	}
}

func TestALeaderWhoseMachineHangsMakesRoom(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		hold := make(chan struct{})
		leader.machine.mu.Lock()
		leader.machine.hold = hold
		leader.machine.mu.Unlock()
		began := time.Now()
		s.mustSetWithin(s.others(leader.id)[0], "k", "v", 9*time.Second)
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("a new leader took %s", took)
		}
		if !errors.Is(leader.node.Err(), ErrDisk) {
			t.Errorf("it stopped because of %v", leader.node.Err())
		}
		close(hold)
	})
}

func (s *sim) mustSetWithin(one *simNode, key, value string, limit time.Duration) {
	s.t.Helper()
	if _, err := s.set(one, key, value, limit); err != nil {
		s.t.Fatalf("set %s: %v", key, err)
	}
}

func TestStatusTellsWhoIsDown(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.nodes["n1"], "k", "v")
		time.Sleep(time.Second)
		status, err := s.nodes["n2"].node.Status(s.t.Context())
		if err != nil || !status.Healthy || status.FailureTolerance != 1 || len(status.Members) != 3 || status.Cluster == 0 {
			t.Fatalf("%+v, %v", status, err)
		}
		down := s.others(s.leader().id)[0]
		s.kill(down.id)
		status, err = s.leader().node.Status(s.t.Context())
		if err != nil || status.Healthy || status.FailureTolerance != 0 {
			t.Fatalf("%+v, %v", status, err)
		}
		for _, m := range status.Members {
			if (m.State == "down") != (m.ID == down.id) {
				t.Errorf("%+v", m)
			}
		}
	})
}

func TestFormationResumesAfterTheFirstNodeDied(t *testing.T) {
	bubble(t, 3, nil, func(s *sim) {
		// The lowest node can be heard and cannot be reached by its own calls, so
		// it alone has formed the cluster when it dies.
		s.net.set("n1", "n2", true)
		s.net.set("n1", "n3", true)
		one := s.nodes["n1"]
		if err := raft.BootstrapCluster(s.config(one).withDefaults().raftConfig(nil), one.stores, one.stores,
			raft.NewDiscardSnapshotStore(), nil, bootstrapConfiguration(s.ids)); err != nil {
			t.Fatal(err)
		}
		s.start("n2")
		s.start("n3")
		time.Sleep(10 * time.Second)
		if s.nodes["n2"].node.raft.Load() != nil {
			t.Fatal("two of three formed a cluster")
		}
		s.start("n1")
		time.Sleep(5 * time.Second)
		s.net.heal()
		s.leader()
		s.mustSet(s.nodes["n3"], "k", "v")
		s.converge()
	})
}

func TestTwoNodesOfThreeFormNothing(t *testing.T) {
	bubble(t, 3, nil, func(s *sim) {
		s.start("n1")
		s.start("n2")
		time.Sleep(time.Minute)
		if s.nodes["n1"].node.raft.Load() != nil || s.nodes["n2"].node.raft.Load() != nil {
			t.Fatal("a cluster was formed without the third node")
		}
		s.start("n3")
		s.leader()
	})
}

func TestANodeOfAnotherClusterIsRefused(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.nodes["n1"], "k", "v")
		one := s.others(s.leader().id)[0]
		s.kill(one.id)
		// The disk of a node of the same name that grew up in another cluster.
		one.disk.table.Cluster = 4711
		one.disk.table.Index, one.disk.table.Term = 1, 1
		one.disk.table.Conf = raft.EncodeConfiguration(bootstrapConfiguration(s.ids))
		s.start(one.id)
		time.Sleep(10 * time.Second)
		if _, err := s.read(one, "k", 0, false, time.Second); err == nil {
			t.Error("it serves")
		}
	})
}

func TestASecondNodeOfALiveIDIsRefusedAndTheFirstKeepsItsVote(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		alive := s.others(leader.id)[0]
		s.mustSet(leader, "k", "v")
		for range 3 {
			err := leader.node.serveJoin(s.t.Context(), alive.id, firstLevel, 1)
			if err == nil || !strings.Contains(err.Error(), "alive") {
				t.Fatalf("joined a second time: %v", err)
			}
		}
		if kind, ok := suffrage(leader.node, alive.id); !ok || kind != raft.Voter {
			t.Error("the live node has lost its vote")
		}
	})
}

func TestANodeWhoseMachineCannotGoOnStopsInOrder(t *testing.T) {
	simulate(t, 1, nil, func(s *sim) {
		only := s.leader()
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		// The test machine panics at a verb that it does not know.
		if _, _, err := only.node.Propose(ctx, []byte("r0 spoil k v")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("propose: %v", err)
		}
		<-only.node.Done()
		if err := only.node.Err(); !errors.Is(err, ErrMachine) {
			t.Errorf("stopped because of %v", err)
		}
		if _, err := s.read(only, "k", 0, false, time.Second); err == nil {
			t.Error("a node that has stopped is read")
		}
	})
}
