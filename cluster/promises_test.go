package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAcknowledgedWritesSurviveTheLossOfTheLeader(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			simulate(t, size, nil, func(s *sim) {
				acked := make(map[string]string)
				for round := range 6 {
					leader := s.leader()
					for i := range 5 {
						key, value := fmt.Sprintf("k%d-%d", round, i), fmt.Sprint(i)
						through := s.others(leader.id)[i%(size-1)]
						s.mustSet(through, key, value)
						acked[key] = value
					}
					s.kill(leader.id)
					for _, one := range s.others(leader.id) {
						key := fmt.Sprintf("after%d-%s", round, one.id)
						s.mustSet(one, key, "x")
						acked[key] = "x"
					}
					s.start(leader.id)
				}
				s.leader()
				for _, id := range s.ids {
					for key, value := range acked {
						s.mustRead(s.nodes[id], key, value, 0, true)
					}
				}
				s.converge()
			})
		})
	}
}

func TestKillingTheLeaderIsAPauseForCallersOfOtherNodes(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		rest := s.others(leader.id)
		began := time.Now()
		done := make(chan error, 200)
		for i := range cap(done) {
			go func() {
				time.Sleep(time.Duration(i) * 5 * time.Millisecond)
				ctx := s.t.Context()
				_, _, err := rest[i%2].node.Propose(ctx, fmt.Appendf(nil, "q%d set k%d v", i, i))
				done <- err
			}()
		}
		time.Sleep(300 * time.Millisecond)
		s.kill(leader.id)
		for range cap(done) {
			if err := <-done; err != nil {
				t.Errorf("propose: %v", err)
			}
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("a failover under load took %s", took)
		}
		s.start(leader.id)
		s.converge()
	})
}

func TestAMinorityRefusesAfterMaxStalenessAlsoForAnIndexItHas(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		cut := s.others(leader.id)[0]
		index := s.mustSet(leader, "k", "old")
		s.mustRead(cut, "k", "old", index, false)
		s.isolate(cut.id)
		time.Sleep(time.Second)
		if _, err := s.read(cut, "k", index, false, time.Second); err != nil {
			t.Errorf("within max staleness: %v", err)
		}
		s.mustSet(s.leader(cut.id), "k", "new")
		if _, err := s.read(cut, "k", 0, true, time.Second); !errors.Is(err, ErrStale) && !errors.Is(err, ErrNoLeader) {
			t.Errorf("strong read in a minority: %v", err)
		}
		time.Sleep(5 * time.Second)
		for _, atLeast := range []uint64{0, index} {
			if _, err := s.read(cut, "k", atLeast, false, time.Second); !errors.Is(err, ErrStale) {
				t.Errorf("after max staleness with index %d: %v", atLeast, err)
			}
		}
		if cut.node.Ready() == nil {
			t.Error("a stale node says that it is ready")
		}
		if _, err := s.set(cut, "k", "lost", time.Second); !errors.Is(err, ErrNoLeader) {
			t.Errorf("write in a minority that was never sent: %v", err)
		}
		s.net.heal()
		s.mustRead(cut, "k", "new", 0, true)
		s.converge()
	})
}

func TestALeaderThatIsCutOffServesNothingStale(t *testing.T) {
	simulate(t, 5, nil, func(s *sim) {
		old := s.leader()
		s.mustSet(old, "k", "old")
		s.isolate(old.id)
		// What the old leader took and could not commit has an unknown outcome.
		if _, err := s.set(old, "other", "x", 100*time.Millisecond); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("write on a leader that is cut off: %v", err)
		}
		s.mustSet(s.leader(old.id), "k", "new")
		for range 20 {
			if got, err := s.read(old, "k", 0, true, 200*time.Millisecond); err == nil {
				t.Fatalf("strong read on the old leader gave %q", got)
			}
		}
		s.net.heal()
		s.mustRead(old, "k", "new", 0, true)
		s.converge()
	})
}

func TestOneWayCutsNeverYieldAStaleStrongRead(t *testing.T) {
	for _, inward := range []bool{true, false} {
		t.Run(fmt.Sprint("inward=", inward), func(t *testing.T) {
			simulate(t, 3, nil, func(s *sim) {
				old := s.leader()
				value := "v0"
				s.mustSet(old, "k", value)
				for _, other := range s.others(old.id) {
					if inward {
						s.net.set(other.id, old.id, true)
					} else {
						s.net.set(old.id, other.id, true)
					}
				}
				for i := range 20 {
					writer := s.others(old.id)[i%2]
					next := fmt.Sprint("v", i+1)
					if _, err := s.set(writer, "k", next, 3*time.Second); err == nil {
						value = next
					} else if !errors.Is(err, ErrNoLeader) {
						// It may happen yet, so from here on nothing is certain.
						continue
					}
					if got, err := s.read(old, "k", 0, true, 100*time.Millisecond); err == nil && got != value {
						t.Fatalf("stale strong read: %q, want %q", got, value)
					}
				}
				s.net.heal()
				s.mustSet(old, "end", "x")
				s.converge()
			})
		})
	}
}

func TestTheMajoritySideGoesOnAndTheMinorityFollowsLater(t *testing.T) {
	simulate(t, 5, nil, func(s *sim) {
		for round := range 5 {
			few, many := s.ids[round%5:], []string(nil)
			few = append(slices.Clone(few), s.ids[:round%5]...)
			few, many = few[:2], few[2:]
			for _, a := range few {
				for _, b := range many {
					s.net.set(a, b, true)
					s.net.set(b, a, true)
				}
			}
			key := fmt.Sprint("k", round)
			index := s.mustSet(s.nodes[many[0]], key, "x")
			if _, err := s.read(s.nodes[few[0]], key, index, false, time.Second); err == nil {
				t.Errorf("round %d: a minority served an index that it cannot have", round)
			}
			s.net.heal()
			s.mustRead(s.nodes[few[0]], key, "x", index, false)
		}
		s.converge()
	})
}

func TestAnIndexBeyondTheLogIsIgnoredAfterAskingTheLeader(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.nodes["n1"], "k", "v")
		for _, id := range s.ids {
			began := time.Now()
			s.mustRead(s.nodes[id], "k", "v", 1<<60, false)
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s waited %s for an index that does not exist", id, took)
			}
		}
	})
}

func TestTransferOfLeadershipFailsNoRequest(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for range 5 {
			leader := s.leader()
			done := make(chan error, 100)
			for i := range cap(done) {
				s.request++
				command := fmt.Appendf(nil, "r%d set k%d v", s.request, i)
				go func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					_, _, err := s.nodes[s.ids[i%3]].node.Propose(s.t.Context(), command)
					done <- err
				}()
			}
			time.Sleep(20 * time.Millisecond)
			began := time.Now()
			if err := leader.node.Drain(s.t.Context()); err != nil {
				t.Errorf("drain: %v", err)
			}
			if took := time.Since(began); took > 250*time.Millisecond {
				t.Errorf("a transfer took %s", took)
			}
			if leader.node.Leading() || leader.node.Ready() == nil {
				t.Error("a drained node still leads or is ready")
			}
			for range cap(done) {
				if err := <-done; err != nil {
					t.Errorf("propose: %v", err)
				}
			}
			leader.node.draining.Store(false)
		}
		s.converge()
	})
}

func TestAPausedRoundProvesNothing(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		old := s.leader()
		s.mustSet(old, "k", "old")
		paused, resume := make(chan struct{}), make(chan struct{})
		var once bool
		synctest.Wait()
		// The leader takes the index of a round and then stands still, as a
		// process under SIGSTOP, while another leader is elected and writes.
		hook := func() {
			if !once {
				once = true
				s.isolate(old.id)
				close(paused)
				<-resume
			}
		}
		old.node.hooks.roundTaken.Store(&hook)
		<-paused
		got := make(chan string, 1)
		go func() {
			value, err := s.read(old, "k", 0, true, 3*time.Second)
			if err != nil {
				value = "refused"
			}
			got <- value
		}()
		s.mustSet(s.leader(old.id), "k", "new")
		s.net.heal()
		close(resume)
		if value := <-got; value != "new" && value != "refused" {
			t.Errorf("a strong read that began before the pause ended with %q", value)
		}
		s.converge()
	})
}
