package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func (s *sim) change(one *simNode, c Change) (Effect, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	return one.node.Change(ctx, c)
}

func (s *sim) mustChange(one *simNode, c Change) Effect {
	s.t.Helper()
	e, err := s.change(one, c)
	if err != nil {
		s.t.Fatalf("%s %s through %s: %v", c.Verb, c.ID, one.id, err)
	}
	return e
}

func (s *sim) isVoter(id string) func() bool {
	return func() bool {
		kind, ok := suffrage(s.leader().node, id)
		return ok && kind == raft.Voter
	}
}

func TestADemotedNodeIsNotPromotedByItselfAgain(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		follower := s.others(s.leader().id)[0]
		through := s.others(s.leader().id)[1]
		s.mustSet(through, "k", "v")
		if e := s.mustChange(through, Change{Verb: VerbDemote, ID: follower.id}); !e.Changed || e.Voters != 2 || e.Tolerance != 0 {
			t.Errorf("%+v", e)
		}
		s.kill(follower.id) // it remembers
		s.start(follower.id)
		time.Sleep(time.Minute)
		if s.isVoter(follower.id)() {
			t.Fatal("it was promoted")
		}
		s.mustRead(follower, "k", "v", 0, false)
		if e := s.mustChange(through, Change{Verb: VerbPromote, ID: follower.id}); !e.Changed || e.Voters != 3 || e.Tolerance != 1 {
			t.Errorf("%+v", e)
		}
		if !s.isVoter(follower.id)() {
			t.Error("it has no vote")
		}
		if e := s.mustChange(through, Change{Verb: VerbPromote, ID: follower.id}); e.Changed {
			t.Errorf("promoted twice: %+v", e)
		}
	})
}

func TestALeaderThatIsDemotedOrRemovedHandsOverFirst(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		first := s.leader()
		through := s.others(first.id)[0]
		s.mustChange(through, Change{Verb: VerbDemote, ID: first.id})
		second := s.leader()
		if second.id == first.id || s.isVoter(first.id)() {
			t.Fatalf("%s leads, and %s has its vote", second.id, first.id)
		}
		s.mustChange(first, Change{Verb: VerbPromote, ID: first.id})
		s.mustChange(first, Change{Verb: VerbRemove, ID: second.id})
		<-second.node.Done()
		if !errors.Is(second.node.Err(), ErrRemoved) {
			t.Errorf("it stopped because of %v", second.node.Err())
		}
		s.mustSet(first, "k", "v")
	})
}

func TestANodeThatWasRemovedWhileItWasDownLearnsItAndDisturbsNobody(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		gone := s.others(leader.id)[0]
		s.kill(gone.id)
		s.eventually(10*time.Second, "it is seen to be down", func() bool {
			e, err := s.change(leader, Change{Verb: VerbRemove, ID: gone.id, DryRun: true})
			return err == nil && e.ToleranceBefore == 0
		})
		s.mustChange(leader, Change{Verb: VerbRemove, ID: gone.id})
		term := leader.node.raft.Load().CurrentTerm()
		s.start(gone.id)
		select {
		case <-gone.node.Done():
		case <-time.After(30 * time.Second):
			t.Fatal("the removed node goes on")
		}
		if !errors.Is(gone.node.Err(), ErrRemoved) {
			t.Errorf("it stopped because of %v", gone.node.Err())
		}
		if now := leader.node.raft.Load().CurrentTerm(); now != term || !leader.node.Leading() {
			t.Errorf("the term went from %d to %d", term, now)
		}
		// On a wiped disk it is welcome again, under the same id.
		s.kill(gone.id)
		s.wipe(gone.id)
		s.start(gone.id)
		s.eventually(20*time.Second, "it has a vote again", s.isVoter(gone.id))
	})
}

func TestTheQuorumIsNotLostThroughAVerbUnlessForced(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		down, up := s.others(leader.id)[0], s.others(leader.id)[1]
		s.kill(down.id)
		s.eventually(10*time.Second, "a removal is refused", func() bool {
			_, err := s.change(up, Change{Verb: VerbRemove, ID: up.id})
			return errors.Is(err, ErrUnsafe) && strings.Contains(err.Error(), "force")
		})
		for _, c := range []Change{
			{Verb: VerbRemove, ID: leader.id}, {Verb: VerbDemote, ID: up.id}, {Verb: VerbDrain, ID: up.id},
		} {
			if _, err := s.change(up, c); !errors.Is(err, ErrUnsafe) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if got := len(leader.node.voters()); got != 3 {
			t.Errorf("%d voters", got)
		}
		s.mustSet(up, "k", "v")
	})
}

func TestLeadershipIsHandedToTheNodeThatIsNamed(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for range 6 {
			leader := s.leader()
			to := s.others(leader.id)[1]
			s.mustChange(s.others(leader.id)[0], Change{Verb: VerbTransfer, ID: to.id})
			if now := s.leader(); now.id != to.id {
				t.Fatalf("%s leads, %s was named", now.id, to.id)
			}
		}
		if _, err := s.change(s.leader(), Change{Verb: VerbTransfer, ID: "n9"}); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("to a stranger: %v", err)
		}
	})
}

func TestADrainIsBegunOnTheNodeThatIsNamed(t *testing.T) {
	asked := make(chan string, 9)
	configure := func(c *Config) { c.OnDrain = func() { asked <- c.NodeID } }
	simulate(t, 3, configure, func(s *sim) {
		one := s.others(s.leader().id)[0]
		for range 2 { // once is enough
			s.mustChange(s.leader(), Change{Verb: VerbDrain, ID: one.id})
		}
		if len(asked) != 1 || <-asked != one.id {
			t.Error("another drains, or it drains twice")
		}
		// It is counted out at once, though it serves on until its owner ends it.
		if _, err := s.change(one, Change{Verb: VerbDrain, ID: s.others(one.id)[0].id}); !errors.Is(err, ErrUnsafe) {
			t.Errorf("a second drain: %v", err)
		}
		s.mustSet(one, "k", "v")
	})
}

func TestAReaderServesReadsAndIsNeverGivenAVote(t *testing.T) {
	configure := func(c *Config) {
		if c.NodeID == "n4" {
			c.Role, c.BootstrapExpect = RoleReader, 0
		}
	}
	bubble(t, 3, configure, func(s *sim) {
		s.startAll()
		s.mustSet(s.leader(), "k", "v")
		reader := s.add("n4")
		s.start(reader.id)
		s.mustRead(reader, "k", "v", 0, true)
		time.Sleep(time.Minute)
		s.mustRead(reader, "k", "v", 0, false)
		if s.isVoter(reader.id)() {
			t.Error("it has a vote")
		}
		if _, err := s.change(reader, Change{Verb: VerbPromote, ID: reader.id}); !errors.Is(err, ErrImpossible) {
			t.Errorf("promoted: %v", err)
		}
		// It does not count: the loss of one voter is borne, of two not.
		s.kill(s.others(s.leader().id)[0].id)
		s.mustSet(reader, "k", "w")
	})
}

func TestADeadServerIsRemovedAfterALongTimeAndNeverBelowTheIntendedSize(t *testing.T) {
	configure := func(c *Config) {
		c.DeadServerAfter, c.ClusterSize = 2*time.Minute, 3
		if len(c.NodeID) == 2 && c.NodeID > "n3" {
			c.BootstrapExpect = 0
		}
	}
	bubble(t, 3, configure, func(s *sim) {
		s.startAll()
		s.leader()
		for _, id := range []string{"n4", "n5"} {
			s.add(id)
			s.start(id)
			s.eventually(30*time.Second, id+" has a vote", s.isVoter(id))
		}
		voters := func() int { return len(s.leader().node.voters()) }
		dead := s.others(s.leader().id)[:2]
		for _, one := range dead {
			s.kill(one.id)
			s.peers.lose(one.id)
		}
		s.mustSet(s.leader(), "k", "v")
		time.Sleep(100 * time.Second)
		if n := voters(); n != 5 {
			t.Fatalf("%d voters before the time is over", n)
		}
		time.Sleep(time.Minute)
		if n := voters(); n != 3 {
			t.Fatalf("%d voters after it", n)
		}
		third := s.others(s.leader().id)[0]
		s.kill(third.id)
		s.peers.lose(third.id)
		time.Sleep(6 * time.Minute)
		if n := voters(); n != 3 || !slices.Contains(s.leader().node.voters(), third.id) {
			t.Errorf("%d voters, below the intended size", n)
		}
		s.mustSet(s.leader(), "k", "w")
	})
}

func TestANodeOfARunningGossipIsNotDeadHoweverSilent(t *testing.T) {
	configure := func(c *Config) { c.DeadServerAfter, c.ClusterSize = 2*time.Minute, 1 }
	simulate(t, 3, configure, func(s *sim) {
		cut := s.others(s.leader().id)[0]
		s.isolate(cut.id) // from the cluster ports; gossip sees it
		time.Sleep(6 * time.Minute)
		if len(s.leader(cut.id).node.voters()) != 3 {
			t.Error("removed though gossip sees it")
		}
	})
}

func TestANodeOfALowerLevelIsRefusedAndOneOfAnEqualIsNot(t *testing.T) {
	bubble(t, 3, nil, func(s *sim) {
		for _, id := range s.ids {
			s.nodes[id].disk.reached, s.nodes[id].disk.known = 2, 2
		}
		s.startAll()
		leader := s.leader()
		s.eventually(5*time.Second, "all announce level 2", func() bool { return leader.node.MemberLevel() == 2 })
		old := s.add("n4")
		old.disk.known = 1
		s.start(old.id)
		term := leader.node.raft.Load().CurrentTerm()
		time.Sleep(10 * time.Second)
		if leader.node.configured(old.id) {
			t.Fatal("it was let in")
		}
		if now := leader.node.raft.Load().CurrentTerm(); now != term {
			t.Errorf("the term went from %d to %d", term, now)
		}
		s.kill(old.id)
		old.disk.known = 2
		s.start(old.id)
		s.eventually(20*time.Second, "it is a voter", s.isVoter(old.id))
		s.kill(old.id)
		s.eventually(5*time.Second, "a member is silent", func() bool { return leader.node.MemberLevel() == 0 })
	})
}

func TestAProcessWhoseIDWasTakenOverIsToldToStop(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		one := s.others(leader.id)[0]
		s.kill(one.id)
		s.wipe(one.id)
		s.start(one.id)
		s.eventually(20*time.Second, "the second directory has the id", func() bool {
			return one.node.Ready() == nil && s.isVoter(one.id)()
		})
		ask := func(store uint64) byte {
			t.Helper()
			a, err := leader.node.serveAsk(s.t.Context(), one.id, askBody{applied: leader.node.mark.applied(), store: store})
			if err != nil {
				t.Fatal(err)
			}
			return a.verdict
		}
		if ask(one.node.store+1)&verdictRemoved == 0 {
			t.Error("the first goes on")
		}
		if ask(one.node.store) != 0 {
			t.Error("the second is told to stop")
		}
		s.mustSet(one, "k", "v")
		// A later leader knows nothing of it, and takes whom it finds.
		s.mustChange(one, Change{Verb: VerbTransfer, ID: one.id})
		s.mustSet(leader, "k", "w")
	})
}
