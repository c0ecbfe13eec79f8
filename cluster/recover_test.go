package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// recovery opens the disk of a node that is down.
func (s *sim) recovery(one *simNode) (*Recovery, error) {
	one.machine = openTestMachine(one.disk)
	return newRecovery(one.id, one.machine, one.stores, one.stores, func() error { return nil })
}

func TestASurvivorBecomesAClusterOfItsOwnWithAllThatItsLogHolds(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for i := range 30 {
			s.mustSet(s.leader(), fmt.Sprint("k", i), "v")
		}
		s.converge()
		old := s.leader().machine.Cluster()
		for _, id := range s.ids {
			s.kill(id)
		}
		one := s.nodes["n2"]
		r, err := s.recovery(one)
		if err != nil {
			t.Fatal(err)
		}
		words := r.LastWords()
		if !slices.Equal(words.Voters, s.ids) || words.Cluster != old || words.Index < 30 || words.Time.IsZero() {
			t.Errorf("%+v", words)
		}
		if words.Confirms("n1:1:1") == nil || words.Confirms(words.Confirmation()) != nil {
			t.Error("any confirmation will do")
		}
		cluster, err := r.Recover()
		if err != nil || cluster == old || cluster == 0 {
			t.Fatalf("cluster %x, %v", cluster, err)
		}
		s.start(one.id)
		s.eventually(10*time.Second, "it leads alone", one.node.Leading)
		if got := one.machine.Cluster(); got != cluster {
			t.Errorf("it is of cluster %x, not %x", got, cluster)
		}
		for i := range 30 {
			s.mustRead(one, fmt.Sprint("k", i), "v", 0, true)
		}
		s.mustSet(one, "new", "v")
		// An old node that turns up gets nothing into it, and out of it.
		s.start("n1")
		time.Sleep(20 * time.Second)
		if one.node.configured("n1") || !one.node.Leading() {
			t.Error("an old node has got in")
		}
		// Wiped, it joins.
		s.kill("n1")
		s.wipe("n1")
		s.start("n1")
		s.mustRead(s.nodes["n1"], "new", "v", 0, true)
		s.eventually(30*time.Second, "it has a vote", func() bool {
			kind, ok := suffrage(one.node, "n1")
			return ok && kind == raft.Voter
		})
		s.converge()
	})
}

func TestARecoveryThatIsCutShortIsBegunAgain(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.leader(), "k", "v")
		s.converge()
		for _, id := range s.ids {
			s.kill(id)
		}
		one := s.nodes["n1"]
		r, err := s.recovery(one)
		if err != nil {
			t.Fatal(err)
		}
		r.stable = brokenStable{one.stores} // the table is flushed, the rest is not done
		if _, err := r.Recover(); err == nil || !strings.Contains(err.Error(), "term") {
			t.Fatal(err)
		}
		if _, err := s.recovery(one); err == nil || !strings.Contains(err.Error(), "only voter") {
			t.Errorf("the half that was done is not seen: %v", err)
		}
		s.start(one.id)
		s.eventually(10*time.Second, "it leads alone", one.node.Leading)
		s.mustRead(one, "k", "v", 0, true)
		s.mustSet(one, "k", "w")
	})
}

type brokenStable struct{ raft.StableStore }

func (brokenStable) SetUint64([]byte, uint64) error { return errors.New("no room") }

func TestWhatCannotBeRecoveredFromSaysWhy(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.leader(), "k", "v")
		s.converge()
		s.kill("n1")
		one := s.nodes["n1"]
		last, err := one.stores.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		var l raft.Log
		if err := one.stores.GetLog(last, &l); err != nil {
			t.Fatal(err)
		}
		l.Data = slices.Clone(l.Data)
		l.Data[len(l.Data)-1] ^= 1
		if err := one.stores.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
		if _, err := s.recovery(one); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a rotten entry: %v", err)
		}
		s.wipe("n1")
		if _, err := s.recovery(one); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("an empty log: %v", err)
		}
	})
}
