package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// until waits for a condition that some goroutine will make true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx := within(t)
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// target is a Mux that serves one protocol and a client's way to it.
func target(t *testing.T, change func(*MuxConfig)) (*Mux, net.Listener, *directory, pki.Key) {
	t.Helper()
	key := newKey(t)
	d := &directory{addrs: make(map[string]string)}
	m := newMux(t, "b", d, newAuthority(t, "b", key), change)
	return m, listen(t, m, "test/1"), d, key
}

// stillServes: whatever was done to it, a node of the cluster gets through.
func stillServes(t *testing.T, m *Mux, l net.Listener, d *directory, key pki.Key) {
	t.Helper()
	a := newMux(t, "friend", d, newAuthority(t, "friend", key), nil)
	here, there := connect(t, a, "b", l, "test/1")
	if _, err := here.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(there, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func rawDial(t *testing.T, m *Mux) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestDialDemandsTheIDInTheCertificate(t *testing.T) {
	m, l, d, key := target(t, nil)
	a := newMux(t, "a", d, newAuthority(t, "a", key), nil)
	d.set("c", m.Addr().String())
	if _, err := a.Dial(within(t), "c", "test/1"); err == nil || !strings.Contains(err.Error(), "node b answered where node c") {
		t.Fatalf("took b for c: %v", err)
	}
	if a.Stats().DialFailures != 1 {
		t.Error("not counted")
	}
	stranger := newMux(t, "stranger", d, newAuthority(t, "stranger", newKey(t)), nil)
	if _, err := stranger.Dial(within(t), "b", "test/1"); err == nil {
		t.Fatal("a node of another cluster believed b")
	}
	if _, err := a.Dial(within(t), "unheard-of", "test/1"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("unknown node: %v", err)
	}
	stillServes(t, m, l, d, key)
}

func TestConnectionsAreBounded(t *testing.T) {
	m, l, d, key := target(t, func(c *MuxConfig) { c.MaxConns = 2 })
	a := newMux(t, "a", d, newAuthority(t, "a", key), nil)
	first, _ := connect(t, a, "b", l, "test/1")
	connect(t, a, "b", l, "test/1")
	third, err := a.Dial(within(t), "b", "test/1")
	if err == nil {
		// The client's half of the handshake ends first.
		_ = third.SetDeadline(time.Now().Add(limit))
		if _, err = third.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the third connection stays open")
		}
		_ = third.Close()
	}
	until(t, "counted", func() bool { return m.Stats().OverLimit == 1 })
	_ = first.Close()
	_, err = io.Copy(io.Discard, first)
	if err == nil {
		t.Error("read from a closed connection")
	}
}

func TestConnectionsOfARemovedKeyAreDropped(t *testing.T) {
	before, after := newKey(t), newKey(t)
	d := &directory{addrs: make(map[string]string)}
	authority := newAuthority(t, "b", before, after)
	b := newMux(t, "b", d, authority, nil)
	l := listen(t, b, "test/1")
	late := newMux(t, "late", d, newAuthority(t, "late", before, after), nil)
	done := newMux(t, "done", d, newAuthority(t, "done", after, before), nil)
	listen(t, done, "test/1")
	lateHere, lateThere := connect(t, late, "b", l, "test/1")
	doneHere, doneThere := connect(t, done, "b", l, "test/1")

	if err := authority.SetKeys([]pki.Key{after}); err != nil {
		t.Fatal(err)
	}
	if n := b.DropPeers(); n != 1 {
		t.Errorf("%d were dropped", n)
	}
	if _, err := lateThere.Read(make([]byte, 1)); err == nil {
		t.Error("the connection of the removed key is open")
	}
	if _, err := lateHere.Read(make([]byte, 1)); err == nil {
		t.Error("the other end has not noticed")
	}
	if _, err := doneHere.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(doneThere, make([]byte, 1)); err != nil {
		t.Errorf("the connection of the valid key is gone: %v", err)
	}
}

func TestAHandshakeForNobodyIsRefused(t *testing.T) {
	key := newKey(t)
	d := &directory{addrs: make(map[string]string)}
	newMux(t, "b", d, newAuthority(t, "b", key), nil)
	a := newMux(t, "a", d, newAuthority(t, "a", key), nil)
	if _, err := a.Dial(within(t), "b", "test/1"); err == nil {
		t.Fatal("a node that serves nothing let somebody in")
	}
}

func TestAConfigurationsFaultsAreNamedTogether(t *testing.T) {
	_, err := OpenMux(MuxConfig{Addr: "nonsense", MaxConns: -1})
	for _, fault := range []string{"HOST:PORT", "authority", "resolver", "negative"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v does not name %s", err, fault)
		}
	}
	m, _, d, key := target(t, nil)
	_, err = OpenMux(MuxConfig{Addr: m.Addr().String(), Authority: newAuthority(t, "x", key), Resolve: d.find})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("port in use: %v", err)
	}
}
