package gossip

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestARestartedNodeIsAcceptedUnderItsIDAtANewAddress(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	c := open(t, config("n3", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2", "n3") && sees(c, "n1", "n2", "n3") })
	before := b.Addr()
	shut(t, b) // as a crash: nobody is told
	moved := config("n2", a.Addr())
	moved.Meta.ClusterAddr = "127.0.0.1:222"
	again := open(t, moved)
	if again.Addr() == before {
		t.Skip("the system gave the same port again")
	}
	for _, p := range []*Pool{a, c, again} {
		until(t, "the new address is believed", func() bool {
			addr, _ := p.Address("n2")
			return sees(p, "n1", "n2", "n3") && addr == "127.0.0.1:222"
		})
	}
}

func TestARestartedNodeIsNotKeptOutUntilTheNextRejoin(t *testing.T) {
	rarely := func(c Config) Config {
		c.RejoinInterval = time.Hour
		c.tune = func(s *memberlist.Config) {
			quick(s)
			s.PushPullInterval = time.Hour
			// Longer than the first news about the new address live.
			s.DeadNodeReclaimTime = time.Second
		}
		return c
	}
	a := open(t, rarely(config("n1")))
	b := open(t, rarely(config("n2", a.Addr())))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	shut(t, b)
	moved := rarely(config("n2", a.Addr()))
	moved.Meta.ClusterAddr = "127.0.0.1:222"
	open(t, moved)
	until(t, "the new address is believed", func() bool { addr, _ := a.Address("n2"); return addr == "127.0.0.1:222" })
}

func TestARestartedNodeIsAcceptedAtItsOldAddressWithNewMetadata(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") })
	for range 3 { // its incarnation is high then, and low after the restart
		if err := b.SetMeta(Meta{ClusterAddr: "127.0.0.1:12", Cluster: 1}); err != nil {
			t.Fatal(err)
		}
	}
	moved := config("n2", a.Addr())
	moved.BindAddr = b.Addr()
	moved.Meta.ClusterAddr = "127.0.0.1:222"
	shut(t, b)
	open(t, moved)
	until(t, "the new address is believed", func() bool { addr, _ := a.Address("n2"); return addr == "127.0.0.1:222" })
}

func TestNodesThatAllRestartFindEachOtherWithoutSeeds(t *testing.T) {
	dir := t.TempDir()
	start := func(id, bind string, join ...string) *Pool {
		c := config(id, join...)
		c.PeersFile = filepath.Join(dir, id)
		if bind != "" {
			c.BindAddr = bind
		}
		return open(t, c)
	}
	a := start("n1", "")
	b := start("n2", "", a.Addr())
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	atA, atB := a.Addr(), b.Addr()
	shut(t, a)
	shut(t, b)
	a = start("n1", atA)
	if addr, ok := a.Address("n2"); !ok || addr != "127.0.0.1:12" {
		t.Errorf("remembered %q, %v", addr, ok)
	}
	b = start("n2", atB)
	until(t, "they meet again", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
}

func TestTwoProcessesWithOneIDAreNoticed(t *testing.T) {
	var log lockedBuffer
	first := config("n1")
	first.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := open(t, first)
	b := open(t, config("n2", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") })
	twin := open(t, config("n2", a.Addr()))
	until(t, "the conflict is known", func() bool {
		return slices.ContainsFunc(a.Conflicts(), func(c Conflict) bool {
			return c.ID == "n2" && c.Known == b.Addr() && c.Other == twin.Addr()
		})
	})
	until(t, "the twin knows too", func() bool {
		return slices.ContainsFunc(twin.Conflicts(), func(c Conflict) bool { return c.ID == "n2" })
	})
	if addr, _ := a.Address("n2"); addr != "127.0.0.1:12" {
		t.Errorf("the twin was believed: %s", addr)
	}
	if !strings.Contains(log.String(), "a node id is announced from two addresses") {
		t.Errorf("nothing was logged:\n%s", log.String())
	}
}
