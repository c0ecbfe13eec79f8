package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// clock is a wall clock that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newNode(t *testing.T, id string, c *clock, keys ...Key) *Keyed {
	t.Helper()
	k, err := New(id, keys, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const protocol = "test/1"

// shake connects two ends and returns what each of them makes of it.
func shake(client, server *tls.Config) (clientErr, serverErr error) {
	// Not net.Pipe: there each end's alert waits for the other to read it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err, err
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err, err
	}
	b, err := l.Accept()
	if err != nil {
		return err, err
	}
	defer a.Close()
	defer b.Close()
	limit := time.Now().Add(5 * time.Second)
	_ = a.SetDeadline(limit)
	_ = b.SetDeadline(limit)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(b, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		_ = b.Close()
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		// TLS 1.3 tells a client only here that it was refused.
		_, clientErr = c.Read(make([]byte, 1))
	}
	_ = a.Close()
	return clientErr, <-done
}

func TestTwoNodesOfAClusterBelieveEachOther(t *testing.T) {
	c := &clock{start}
	a, b := newNode(t, "a", c, testKey(1)), newNode(t, "b", c, testKey(1))
	if ce, se := shake(a.ClientTLS("b", protocol), b.ServerTLS("other", protocol)); ce != nil || se != nil {
		t.Fatalf("client: %v, server: %v", ce, se)
	}
}

func TestClocksADayApartDoNotMatter(t *testing.T) {
	ahead, behind := &clock{start.Add(23 * time.Hour)}, &clock{start}
	a, b := newNode(t, "a", ahead, testKey(1)), newNode(t, "b", behind, testKey(1))
	for _, pair := range [][2]*Keyed{{a, b}, {b, a}} {
		if ce, se := shake(pair[0].ClientTLS(pair[1].source.id, protocol), pair[1].ServerTLS(protocol)); ce != nil || se != nil {
			t.Fatalf("client: %v, server: %v", ce, se)
		}
	}
}

func TestALeafIsRenewedInPlace(t *testing.T) {
	c := &clock{start}
	a, b := newNode(t, "a", c, testKey(1)), newNode(t, "b", c, testKey(1))
	client, server := a.ClientTLS("b", protocol), b.ServerTLS(protocol)
	serial := func() string {
		leaf, err := a.source.leaf(c.now())
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Leaf.SerialNumber.String()
	}
	first := serial()
	c.at = start.Add(20 * 24 * time.Hour)
	if serial() != first {
		t.Error("renewed with ten days left")
	}
	c.at = c.at.Add(time.Minute)
	if serial() == first {
		t.Error("not renewed with less than ten days left")
	}
	// The configurations that were handed out years ago go on working.
	c.at = start.Add(3 * 365 * 24 * time.Hour)
	if ce, se := shake(client, server); ce != nil || se != nil {
		t.Fatalf("after three years: %v, %v", ce, se)
	}
	second := serial()
	c.at = start
	if serial() == second {
		t.Error("kept a leaf that begins in the future, after the clock was set back")
	}
}

func TestRotatingTheKeyNeverSplitsTheCluster(t *testing.T) {
	c := &clock{start}
	before, after := testKey(1), testKey(2)
	a, b := newNode(t, "a", c, before), newNode(t, "b", c, before)
	meet := func(when string) {
		t.Helper()
		for _, pair := range [][2]*Keyed{{a, b}, {b, a}} {
			if ce, se := shake(pair[0].ClientTLS(pair[1].source.id, protocol), pair[1].ServerTLS(protocol)); ce != nil || se != nil {
				t.Fatalf("%s: client: %v, server: %v", when, ce, se)
			}
		}
	}
	for _, step := range [][]Key{{before, after}, {after, before}, {after}} {
		for _, node := range []*Keyed{a, b} {
			if err := node.SetKeys(step); err != nil {
				t.Fatal(err)
			}
			meet("half way")
		}
	}
	late := newNode(t, "a", c, before)
	if ce, se := shake(late.ClientTLS("b", protocol), b.ServerTLS(protocol)); ce == nil || se == nil {
		t.Errorf("a node with the removed key got in: %v, %v", ce, se)
	}
}

func TestPeerTellsWhichConnectionsHaveToGo(t *testing.T) {
	c := &clock{start}
	a := newNode(t, "a", c, testKey(1), testKey(2))
	peer := newNode(t, "b", c, testKey(2))
	leaf, err := peer.source.leaf(start)
	if err != nil {
		t.Fatal(err)
	}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.Leaf}}
	if id, err := a.Peer(state); err != nil || id != "b" {
		t.Fatalf("%q, %v", id, err)
	}
	if err := a.SetKeys([]Key{testKey(1)}); err != nil {
		t.Fatal(err)
	}
	if id, err := a.Peer(state); err == nil || id != "" {
		t.Fatalf("still believed: %q", id)
	}
	if _, err := a.Peer(tls.ConnectionState{}); !errors.Is(err, errNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, id := range []string{"", "a b", "a/b", "ä", strings.Repeat("a", 65)} {
		if _, err := New(id, []Key{testKey(1)}, nil); err == nil {
			t.Errorf("id %q was taken", id)
		}
	}
	if _, err := New("a", nil, nil); err == nil {
		t.Error("no key was taken")
	}
}
