package gossip

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const limit = 30 * time.Second

// until waits for a condition that gossip will make true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// quick makes everything that takes seconds on a network take a tenth of it.
func quick(s *memberlist.Config) {
	s.ProbeInterval = 100 * time.Millisecond
	s.ProbeTimeout = 50 * time.Millisecond
	s.GossipInterval = 10 * time.Millisecond
	s.PushPullInterval = 300 * time.Millisecond
	s.SuspicionMult = 2
	s.TCPTimeout = time.Second
	s.DeadNodeReclaimTime = 50 * time.Millisecond
}

func key(n byte) [32]byte { return [32]byte{n, 1, 2, 3} }

func config(id string, join ...string) Config {
	return Config{
		NodeID: id, BindAddr: "127.0.0.1:0", Join: join, Keys: [][32]byte{key(1)},
		Meta: Meta{ClusterAddr: "127.0.0.1:1" + id[1:]}, RejoinInterval: 100 * time.Millisecond, tune: quick,
	}
}

func open(t *testing.T, c Config) *Pool {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, p) })
	return p
}

func shut(t *testing.T, p *Pool) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func sees(p *Pool, ids ...string) bool {
	var there []string
	for _, m := range p.Members() {
		there = append(there, m.ID)
	}
	return slices.Equal(there, ids)
}

func TestNodesFindEachOtherThroughOneSeed(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	c := open(t, config("n3", a.Addr()))
	for _, p := range []*Pool{a, b, c} {
		until(t, "all see all", func() bool { return sees(p, "n1", "n2", "n3") })
	}
	for id, want := range map[string]string{"n1": "127.0.0.1:11", "n3": "127.0.0.1:13"} {
		if addr, ok := b.Address(id); !ok || addr != want {
			t.Errorf("%s is at %q, %v", id, addr, ok)
		}
	}
	if addr, ok := a.Address("n9"); ok {
		t.Errorf("a stranger is at %s", addr)
	}
}

func TestASeedThatComesLaterIsFound(t *testing.T) {
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := reserved.Addr().String()
	_ = reserved.Close()
	a := open(t, config("n1", "no-such-host.invalid:1", addr))
	late := config("n2")
	late.BindAddr = addr
	b := open(t, late)
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
}

func TestNewMetadataReachTheOthersAndChangedTells(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	drain(a.Changed())
	if err := b.SetMeta(Meta{Cluster: 42, ClusterAddr: "127.0.0.1:99", Feature: 3}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Changed():
	case <-time.After(limit):
		t.Fatal("nothing was told")
	}
	until(t, "the news are there", func() bool {
		m, _ := a.roster.find("n2")
		return m.Meta == Meta{ID: "n2", Cluster: 42, ClusterAddr: "127.0.0.1:99", Feature: 3} && m.ClusterAddr == "127.0.0.1:99"
	})
	if err := b.SetMeta(Meta{ClusterAddr: strings.Repeat("x", 600)}); err == nil {
		t.Error("600 bytes were taken")
	}
	if err := b.SetMeta(Meta{ID: "n9"}); err == nil {
		t.Error("another node's metadata were taken")
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func TestALeavingNodeIsGoneAtOnceAndADeadOneSoon(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	c := open(t, config("n3", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2", "n3") && sees(b, "n1", "n2", "n3") })
	if err := b.Leave(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := b.Leave(5 * time.Second); err != nil {
		t.Errorf("second leave: %v", err)
	}
	until(t, "the leaver is gone", func() bool { return sees(a, "n1", "n3") })
	shut(t, b)
	shut(t, c)
	until(t, "the dead is gone", func() bool { return sees(a, "n1") })
	if addr, ok := a.Address("n3"); !ok || addr != "127.0.0.1:13" {
		t.Errorf("the dead node's address is %q, %v", addr, ok)
	}
	a.Forget("n3")
	if _, ok := a.Address("n3"); ok {
		t.Error("not forgotten")
	}
	if err := b.Leave(time.Second); err != nil {
		t.Errorf("leave after close: %v", err)
	}
	if err := b.SetMeta(Meta{}); err != nil {
		t.Errorf("news after close: %v", err)
	}
}

func TestAConfigurationsFaultsAreNamedTogether(t *testing.T) {
	_, err := Open(Config{BindAddr: "nonsense", AdvertiseAddr: "x", Join: []string{"y"}, Meta: Meta{ClusterAddr: strings.Repeat("x", 600)}})
	for _, fault := range []string{"node id is empty", `gossip address "nonsense"`, `advertise address "x"`, `join "y"`, "no gossip key", "600"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v\ndoes not name %s", err, fault)
		}
	}
	a := open(t, config("n1"))
	taken := config("n2")
	taken.BindAddr = a.Addr()
	if _, err := Open(taken); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("port in use: %v", err)
	}
	shut(t, a)
	if err := a.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestANodeThatListensEverywhereAdvertisesAnAddress(t *testing.T) {
	for _, bind := range []string{"0.0.0.0:0", ":0"} {
		c := config("n1")
		c.BindAddr = bind
		p := open(t, c)
		host, _, err := net.SplitHostPort(p.Addr())
		if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
			t.Errorf("advertises %s", p.Addr())
		}
		shut(t, p)
	}
	c := config("n1")
	c.AdvertiseAddr = "localhost:7777"
	if p := open(t, c); p.Addr() != "127.0.0.1:7777" && p.Addr() != "[::1]:7777" {
		t.Errorf("advertises %s", p.Addr())
	}
}
