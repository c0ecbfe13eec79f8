package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// slowDisks gives every node a log whose appends take d, or hang on demand.
func slowDisks(d time.Duration) (map[string]*hangingLog, func(*Config)) {
	logs := make(map[string]*hangingLog)
	return logs, func(c *Config) {
		logs[c.NodeID] = &hangingLog{LogStore: c.Logs, slow: d}
		c.Logs, c.DiskTimeout = logs[c.NodeID], time.Hour
	}
}

func TestAWriteWaitsForOneDiskAndNotForTwoInARow(t *testing.T) {
	const disk = 20 * time.Millisecond
	_, configure := slowDisks(disk)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		s.mustSet(leader, "first", "x") // from here on the leader knows their logs
		for i := range 5 {
			time.Sleep(time.Second)
			began := time.Now()
			s.mustSet(leader, "k", fmt.Sprint(i))
			if took := time.Since(began); took < disk || took >= 2*disk {
				t.Errorf("a write took %s, an append %s", took, disk)
			}
		}
		s.converge()
	})
}

// The followers may hold an entry before the leader does. It must not count until
// the leader's own append is over.
func TestNothingIsAcknowledgedBeforeTheLeadersOwnDisk(t *testing.T) {
	logs, configure := slowDisks(0)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		index := s.mustSet(leader, "k", "old")
		s.converge() // both followers have answered
		goOn := logs[leader.id].hang()
		defer goOn()
		answer := make(chan error, 1)
		go func() {
			_, _, err := leader.node.Propose(s.t.Context(), []byte("early set k new"))
			answer <- err
		}()
		for _, one := range s.others(leader.id) {
			s.eventually(time.Second, "the followers have the entry", func() bool {
				last, err := one.stores.LastIndex()
				return err == nil && last == index+1
			})
		}
		time.Sleep(300 * time.Millisecond)
		select {
		case err := <-answer:
			t.Fatalf("it was answered: %v", err)
		default:
		}
		for _, id := range s.ids {
			if got := s.nodes[id].machine.get("k"); got != "old" {
				t.Errorf("%s has applied %q", id, got)
			}
		}
		goOn()
		if err := <-answer; err != nil {
			t.Error(err)
		}
		s.converge()
	})
}

// An entry that only followers hold when its leader dies is a proposal of unknown
// outcome like any other: it happens once or not at all.
func TestAnEntryThatItsLeaderNeverWroteHappensOnceOrNotAtAll(t *testing.T) {
	logs, configure := slowDisks(0)
	simulate(t, 3, configure, func(s *sim) {
		for round := range 5 {
			leader := s.leader()
			s.mustSet(leader, "k", fmt.Sprint("old", round))
			goOn := logs[leader.id].hang()
			ctx, cancel := context.WithTimeout(s.t.Context(), 100*time.Millisecond)
			_, _, err := leader.node.Propose(ctx, fmt.Appendf(nil, "lost%d set lost%d x", round, round))
			cancel()
			if !errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("it ended with %v", err)
			}
			s.isolate(leader.id)
			s.mustSet(s.leader(leader.id), "k", fmt.Sprint("new", round))
			goOn()
			s.net.heal()
			s.mustRead(leader, "k", fmt.Sprint("new", round), 0, true)
		}
		s.converge()
	})
}

func TestWhatWasSentEarlyIsKnownByItsPlace(t *testing.T) {
	entries := func(term uint64, indexes ...uint64) []*raft.Log {
		var logs []*raft.Log
		for _, i := range indexes {
			logs = append(logs, &raft.Log{Index: i, Term: term})
		}
		return logs
	}
	early := &earlyCall{term: 3, prev: 7, prevTerm: 2, last: 9, entries: 2}
	for _, c := range []struct {
		name string
		args raft.AppendEntriesRequest
		want bool
	}{
		{"the same", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, Entries: entries(3, 8, 9)}, true},
		{"more", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, Entries: entries(3, 8, 9, 10)}, true},
		{"fewer", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, Entries: entries(3, 8)}, false},
		{"from further back", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 6, PrevLogTerm: 2, Entries: entries(3, 7, 8, 9)}, false},
		{"another term", raft.AppendEntriesRequest{Term: 4, PrevLogEntry: 7, PrevLogTerm: 2, Entries: entries(3, 8, 9)}, false},
		{"another log", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 1, Entries: entries(3, 8, 9)}, false},
		{"entries of another term", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, Entries: entries(2, 8, 9)}, false},
	} {
		if got := early.begins(&c.args); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
