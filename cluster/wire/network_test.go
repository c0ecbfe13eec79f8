package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for what has to happen.
const limit = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// directory is a resolver of tests.
type directory struct {
	mu    sync.Mutex
	addrs map[string]string
}

func (d *directory) set(id, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs[id] = addr
}

func (d *directory) find(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	addr, ok := d.addrs[id]
	return addr, ok
}

func newKey(t testing.TB) pki.Key {
	t.Helper()
	key, err := pki.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB, id string, keys ...pki.Key) *pki.Keyed {
	t.Helper()
	a, err := pki.New(id, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// world makes nodes that can reach each other.
type world func(t *testing.T, id string) Network

func realWorld(t *testing.T) world {
	key := newKey(t)
	d := &directory{addrs: make(map[string]string)}
	return func(t *testing.T, id string) Network {
		t.Helper()
		return newMux(t, id, d, newAuthority(t, id, key), nil)
	}
}

func newMux(t testing.TB, id string, d *directory, a Authority, change func(*MuxConfig)) *Mux {
	t.Helper()
	c := MuxConfig{Addr: "127.0.0.1:0", Authority: a, Resolve: d.find}
	if change != nil {
		change(&c)
	}
	m, err := OpenMux(c)
	if err != nil {
		t.Fatal(err)
	}
	d.set(id, m.Addr().String())
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func memoryWorld(t *testing.T) world {
	memory := NewMemory()
	return func(t *testing.T, id string) Network {
		t.Helper()
		n := memory.Node(id)
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
}

// inBoth runs a test on real sockets and in memory: the twin must not differ.
func inBoth(t *testing.T, test func(*testing.T, world)) {
	t.Run("mux", func(t *testing.T) { test(t, realWorld(t)) })
	t.Run("memory", func(t *testing.T) { test(t, memoryWorld(t)) })
}

func listen(t *testing.T, n Network, protocol string) net.Listener {
	t.Helper()
	l, err := n.Listen(protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// connect gives both ends of a connection from one node to another.
func connect(t *testing.T, from Network, to string, l net.Listener, protocol string) (dialled, accepted net.Conn) {
	t.Helper()
	accepting := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			conn = nil
		}
		accepting <- conn
	}()
	dialled, err := from.Dial(within(t), to, protocol)
	if err != nil {
		t.Fatal(err)
	}
	accepted = <-accepting
	if accepted == nil {
		t.Fatal("not accepted")
	}
	t.Cleanup(func() { _ = dialled.Close(); _ = accepted.Close() })
	return dialled, accepted
}

func TestANetworkCarriesBytesBothWaysAndKnowsWhoIsThere(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		other := listen(t, b, "other/1")
		l := listen(t, b, "test/1")
		here, there := connect(t, a, "b", l, "test/1")
		if PeerID(here) != "b" || PeerID(there) != "a" {
			t.Errorf("peers are %q and %q", PeerID(here), PeerID(there))
		}
		sent := bytes.Repeat([]byte("0123456789"), 300_000) // beyond every buffer
		for _, pair := range [][2]net.Conn{{here, there}, {there, here}} {
			var writing sync.WaitGroup
			writing.Go(func() {
				if _, err := pair[0].Write(sent); err != nil {
					t.Error(err)
				}
			})
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("something else arrived: %v", err)
			}
			writing.Wait()
		}
		_ = other
	})
}

func TestProtocolsDoNotMix(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		one, two := listen(t, b, "one/1"), listen(t, b, "two/1")
		for name, l := range map[string]net.Listener{"one/1": one, "two/1": two} {
			here, there := connect(t, a, "b", l, name)
			if _, err := here.Write([]byte(name)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(name))
			if _, err := io.ReadFull(there, got); err != nil || string(got) != name {
				t.Errorf("%s got %q, %v", name, got, err)
			}
		}
		if _, err := b.Listen("one/1"); !errors.Is(err, ErrTaken) {
			t.Errorf("second listener: %v", err)
		}
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Dial(within(t), "b", "one/1"); err == nil {
			t.Error("dialled a protocol that is no longer served")
		}
		if _, err := one.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
		if _, err := b.Listen("one/1"); err != nil {
			t.Errorf("listen again: %v", err)
		}
	})
}

func TestDialFailsForNodesThatAreNotThere(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		if _, err := a.Dial(within(t), "nobody", "test/1"); err == nil {
			t.Error("dialled an unknown node")
		}
		if _, err := a.Dial(within(t), "b", "test/1"); err == nil {
			t.Error("dialled a node that serves nothing")
		}
		listen(t, b, "test/1")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Dial(ended, "b", "test/1"); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Dial(within(t), "b", "test/1"); err == nil {
			t.Error("dialled a closed node")
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		if _, err := a.Dial(within(t), "b", "test/1"); err == nil {
			t.Error("a closed node dialled")
		}
		if _, err := a.Listen("test/1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed node listens: %v", err)
		}
	})
}

func TestDeadlinesInterruptReadsAndWrites(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		here, there := connect(t, a, "b", listen(t, b, "test/1"), "test/1")
		past := time.Now().Add(-time.Second)
		if err := here.SetReadDeadline(past); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read past its deadline: %v", err)
		}
		if err := here.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(here, make([]byte, 1)); err != nil {
			t.Errorf("read after the deadline was taken away: %v", err)
		}
		// A read that is under way is interrupted too.
		reading := make(chan error, 1)
		go func() {
			_, err := here.Read(make([]byte, 1))
			reading <- err
		}()
		if err := here.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read under way: %v", err)
		}
		// Nobody reads there: at some point a write waits.
		if err := here.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil {
			_, err = here.Write(make([]byte, 1<<20))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write past its deadline: %v", err)
		}
	})
}

func TestClosingANodeEndsItsConnections(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		here, there := connect(t, a, "b", listen(t, b, "test/1"), "test/1")
		if _, err := there.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(here); string(got) != "last words" {
			t.Errorf("read %q", got)
		}
		if _, err := there.Read(make([]byte, 1)); err == nil {
			t.Error("the closed end still reads")
		}
		for {
			if _, err := here.Write(make([]byte, 1024)); err != nil {
				break
			}
		}
	})
}
