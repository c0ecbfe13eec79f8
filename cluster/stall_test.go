package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// hangingLog is a log whose appends can be made slow, or to hang, as a disk does.
type hangingLog struct {
	raft.LogStore
	mu   sync.Mutex
	hold chan struct{}
	slow time.Duration
}

func (h *hangingLog) StoreLogs(logs []*raft.Log) error {
	h.mu.Lock()
	hold, slow := h.hold, h.slow
	h.mu.Unlock()
	if hold != nil {
		<-hold
	}
	time.Sleep(slow)
	return h.LogStore.StoreLogs(logs)
}

// hang makes appends wait until the result is called.
func (h *hangingLog) hang() (goOn func()) {
	hold := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold = hold
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hold = nil
		close(hold)
	})
}

func (h *hangingLog) slowDown(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slow = d
}

func (h *hangingLog) StoreLog(l *raft.Log) error { return h.StoreLogs([]*raft.Log{l}) }

// A leader whose main loop hangs never looks at its lease: it stays the leader
// in its own eyes while the others have another one. Only the rounds save it.
func TestALeaderThatCannotStepDownServesNothingStale(t *testing.T) {
	logs, configure := slowDisks(0)
	simulate(t, 3, configure, func(s *sim) {
		old := s.leader()
		s.mustSet(old, "k", "old")
		goOn := logs[old.id].hang()
		defer goOn()
		s.isolate(old.id)
		hung := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _, err := old.node.Propose(ctx, []byte("hung set other x"))
			hung <- err
		}()
		s.mustSet(s.leader(old.id), "k", "new")
		if !old.node.Leading() {
			t.Fatal("the old leader stepped down: this tests nothing")
		}
		if got, err := s.read(old, "k", 0, true, time.Second); err == nil {
			t.Errorf("a strong read gave %q", got)
		}
		time.Sleep(5 * time.Second)
		if got, err := s.read(old, "k", 0, false, time.Second); err == nil {
			t.Errorf("a local read after max staleness gave %q", got)
		}
		if err := <-hung; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the write that hung ended with %v", err)
		}
		goOn()
		s.net.heal()
		s.mustRead(old, "k", "new", 0, true)
		s.converge()
	})
}

// What Raft has handed to the machine is not applied yet.
func TestAReadWaitsForTheMachineAndNotForRaft(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		slow := s.others(leader.id)[0]
		s.mustSet(leader, "k", "old")
		hold := make(chan struct{})
		slow.machine.mu.Lock()
		slow.machine.hold = hold
		slow.machine.mu.Unlock()
		index := s.mustSet(leader, "k", "new")
		s.eventually(time.Second, "Raft has handed the entry over", func() bool {
			return slow.node.raft.Load().AppliedIndex() >= index
		})
		for _, strong := range []bool{true, false} {
			if got, err := s.read(slow, "k", index, strong, 500*time.Millisecond); err == nil {
				t.Errorf("strong=%v: served %q", strong, got)
			}
		}
		if got, err := s.read(slow, "k", 0, true, 500*time.Millisecond); err == nil {
			t.Errorf("strong without an index: served %q", got)
		}
		close(hold)
		s.mustRead(slow, "k", "new", index, false)
	})
}

func TestABarrierNeverJoinsTheRoundUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRounds()
		if _, err := r.join(t.Context()); !errors.Is(err, errNotExecuted) {
			t.Error(err)
		}
		r.begin(3)
		answers := make(chan uint64, 3)
		join := func() {
			go func() {
				p, err := r.join(t.Context())
				if err != nil {
					t.Error(err)
				}
				answers <- p.index
			}()
			synctest.Wait()
		}
		join()
		underWay := r.take()
		join()
		join()
		underWay.proof.index = 1
		close(underWay.done)
		if got := <-answers; got != 1 {
			t.Errorf("%d", got)
		}
		next := r.take()
		next.proof.index = 2
		close(next.done)
		if a, b := <-answers, <-answers; a != 2 || b != 2 {
			t.Errorf("%d, %d", a, b)
		}
		if r.take() != nil {
			t.Error("two waiters did not share one round")
		}
		r.end()
	})
}

func TestConfirmationsShareQuestionsAndAreBounded(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		cut := s.others(leader.id)[0]
		s.isolate(cut.id)
		var all sync.WaitGroup
		for range maxFreshnessWaiters {
			all.Go(func() { _, _ = s.read(cut, "k", 0, true, 10*time.Second) })
		}
		synctest.Wait()
		began := time.Now()
		if _, err := s.read(cut, "k", 0, true, 10*time.Second); !errors.Is(err, ErrOverloaded) || time.Since(began) > time.Millisecond {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		rounds := countRounds(leader.node)
		s.net.heal()
		all.Wait()
		if asked := countRounds(leader.node) - rounds; asked > 200 {
			t.Errorf("%d waiters took %v rounds", maxFreshnessWaiters, asked)
		}
	})
}

func TestANodeIsNotFreshAtStart(t *testing.T) {
	bubble(t, 3, nil, func(s *sim) {
		n := s.start("n1")
		if n.Ready() == nil || n.Now() != 0 {
			t.Error("a node that knows nobody is ready")
		}
		for i, limit := range []time.Duration{50 * time.Millisecond, time.Second} {
			if _, err := s.read(s.nodes["n1"], "k", 0, i == 0, limit); err == nil {
				t.Error("it serves")
			}
		}
		if _, err := s.set(s.nodes["n1"], "k", "v", 100*time.Millisecond); !errors.Is(err, ErrNoLeader) {
			t.Error(err)
		}
	})
}

func TestErrorsCarryTheirReason(t *testing.T) {
	for err, reason := range map[error]string{
		ErrNoLeader.because(context.Canceled):                  "no_leader",
		ErrStale.because(ErrRemoved):                           "stale_node",
		fmt.Errorf("wrapped: %w", ErrDraining):                 "draining",
		fmt.Errorf("wrapped: %w", ErrOverloaded):               "overloaded",
		proposeError(errSent{context.DeadlineExceeded}, false): "outcome_unknown",
		proposeError(context.DeadlineExceeded, true):           "outcome_unknown",
		proposeError(context.DeadlineExceeded, false):          "no_leader",
		proposeError(ErrDraining, true):                        "outcome_unknown",
		proposeError(ErrDraining, false):                       "draining",
	} {
		coded, ok := errors.AsType[interface {
			error
			Unavailable() string
		}](err)
		if !ok || coded.Unavailable() != reason {
			t.Errorf("%v carries no %s", err, reason)
		}
	}
	if !errors.Is(ErrStale.because(ErrRemoved), ErrRemoved) {
		t.Error("the cause is lost")
	}
}

// The duties of a term may come to an end long after it: here a round of the old
// term stands still until the node leads again.
func TestATermThatEndsLateLeavesTheNextOneAlone(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		old := s.leader()
		s.mustSet(old, "k", "old")
		paused, resume := make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(resume) })
		defer goOn()
		var once atomic.Bool
		hook := func() {
			if once.CompareAndSwap(false, true) {
				close(paused)
				<-resume
			}
		}
		old.node.hooks.roundTaken.Store(&hook)
		<-paused
		s.isolate(old.id)
		next := s.leader(old.id)
		s.net.heal()
		s.eventually(5*time.Second, "the old leader follows", func() bool {
			return old.node.raft.Load().State() == raft.Follower
		})
		if err := next.node.await(next.node.raft.Load().LeadershipTransferToServer(
			raft.ServerID(old.id), raft.ServerAddress(old.id))); err != nil {
			t.Fatal(err)
		}
		s.eventually(5*time.Second, "the old leader is elected again", func() bool {
			return old.node.raft.Load().State() == raft.Leader
		})
		time.Sleep(100 * time.Millisecond)
		goOn()
		for _, id := range s.ids {
			s.mustRead(s.nodes[id], "k", "old", 0, true)
		}
		s.converge()
	})
}

func TestCloseWaitsForNoPeerThatHangs(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		leader := s.leader()
		s.mustSet(leader, "k", "v")
		s.isolate(leader.id)
		time.Sleep(200 * time.Millisecond) // calls to both others are under way now
		began := time.Now()
		s.kill(leader.id)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}
