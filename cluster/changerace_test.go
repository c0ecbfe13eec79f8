package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestAQuestionThatWasOnItsWayDoesNotUndoADemotion(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		follower := s.others(leader.id)[0]
		time.Sleep(10 * time.Second) // it has earned its vote
		s.mustChange(leader, Change{Verb: VerbDemote, ID: follower.id})
		for range 20 {
			n := leader.node
			n.followers.hear(follower.id, askBody{applied: n.mark.applied(), wantsVote: true}, n.mark.applied(), &n.hashes, time.Second)
			if n.earnedVote(follower.id) {
				t.Fatal("it is to be promoted")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if s.isVoter(follower.id)() {
			t.Fatal("it was promoted")
		}
		s.mustChange(leader, Change{Verb: VerbPromote, ID: follower.id})
		if one, _ := leader.node.followers.get(follower.id); one.withheld {
			t.Error("it is withheld from a vote that it has")
		}
	})
}

func TestADemotionThatStoppedHalfWayIsUndoneByAPromotion(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		follower := s.others(leader.id)[0]
		if err := follower.node.setNonVoter(true); err != nil {
			t.Fatal(err)
		}
		if e := s.mustChange(leader, Change{Verb: VerbPromote, ID: follower.id}); !e.Changed || e.Voters != 3 {
			t.Errorf("%+v", e)
		}
		if !follower.node.wantsVote() {
			t.Error("it will not be given a vote again")
		}
	})
}

func TestAutopilotPromotesNobodyWhoWasRemovedMeanwhile(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		n := s.leader().node
		pilot := pilotRaft{n.raft.Load(), n}
		if err := pilot.AddVoter("n9", "n9", 0, 0).Error(); err == nil || n.configured("n9") {
			t.Errorf("a voter that nobody has: %v", err)
		}
	})
}

func TestAChangeThatNobodyWaitsForAnyMoreIsNotCarriedOut(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		follower := s.others(leader.id)[0]
		if err := leader.node.joining.take(leader.node.ctx); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(leader.node.ctx, 2*time.Second)
		defer cancel()
		began := time.Now()
		remove := Change{Verb: VerbRemove, ID: follower.id, Force: true}
		if _, err := leader.node.Change(ctx, remove); !errors.Is(err, ErrImpossible) || time.Since(began) > 3*time.Second {
			t.Errorf("behind another change: %v after %s", err, time.Since(began))
		}
		dry := remove
		dry.DryRun = true
		s.mustChange(leader, dry) // waits for nobody
		leader.node.joining.pass()
		// Its time may also end between its turn and the members' answers.
		if _, err := leader.node.change(ctx, remove); !errors.Is(err, ErrImpossible) {
			t.Errorf("too late: %v", err)
		}
		if _, err := leader.node.planChange(ctx, remove); !errors.Is(err, ErrImpossible) {
			t.Errorf("planned without having heard the members: %v", err)
		}
		time.Sleep(5 * time.Second)
		if kind, ok := suffrage(leader.node, follower.id); !ok || kind != raft.Voter {
			t.Error("it was carried out")
		}
	})
}
