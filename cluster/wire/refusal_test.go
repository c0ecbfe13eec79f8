package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// lockedLog is a log that a test reads while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) lines(with ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
line:
	for line := range strings.Lines(l.text.String()) {
		for _, part := range with {
			if !strings.Contains(line, part) {
				continue line
			}
		}
		n++
	}
	return n
}

func logged(log *lockedLog) func(*MuxConfig) {
	return func(c *MuxConfig) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) }
}

func TestAWrongClusterKeyIsNamedOnBothSidesAndOnlyNowAndThen(t *testing.T) {
	d := &directory{addrs: make(map[string]string)}
	var here, there lockedLog
	right, wrong := newKey(t), newKey(t)
	b := newMux(t, "b", d, newAuthority(t, "b", right), logged(&there))
	listen(t, b, "test/1")
	a := newMux(t, "a", d, newAuthority(t, "a", wrong), logged(&here))
	const tries = 5
	for range tries {
		if _, err := a.Dial(within(t), "b", "test/1"); err == nil || !strings.Contains(err.Error(), "is of cluster "+right.Name()) {
			t.Fatalf("with the wrong key: %v", err)
		}
	}
	until(t, "all were refused", func() bool { return b.Stats().Failed == tries })
	if n := here.lines("level=WARN", "no cluster connection", "node=b", b.Addr().String(), "is of cluster "+right.Name()); n != 1 {
		t.Errorf("the node with the wrong key warned %d times", n)
	}
	until(t, "a warning", func() bool { return there.lines("level=WARN", "refused") == 1 })
	if n := there.lines("level=WARN", "from=127.0.0.1:", "another cluster key"); n != 1 {
		t.Errorf("the node with the right key warned %d times", n)
	}
}

func TestAPortThatIsOnlyLookedAtIsNoNews(t *testing.T) {
	d := &directory{addrs: make(map[string]string)}
	var log lockedLog
	b := newMux(t, "b", d, newAuthority(t, "b", newKey(t)), logged(&log))
	listen(t, b, "test/1")
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	until(t, "the end", func() bool { return b.Stats().Failed == 1 })
	if log.lines("level=WARN") != 0 {
		t.Error("a warning")
	}
}

// turning is an authority whose keys change in the middle of a handshake: its
// first check of a peer is made with the old ones.
type turning struct {
	*pki.Keyed
	checks atomic.Int32
	turn   func()
}

func (a *turning) Peer(state tls.ConnectionState) (string, error) {
	id, err := a.Keyed.Peer(state)
	if a.checks.Add(1) == 1 {
		a.turn()
	}
	return id, err
}

func TestAHandshakeUnderWayDoesNotSurviveTheRemovalOfItsKey(t *testing.T) {
	before, after := newKey(t), newKey(t)
	d := &directory{addrs: make(map[string]string)}
	authority := &turning{Keyed: newAuthority(t, "b", before)}
	authority.turn = func() {
		if err := authority.SetKeys([]pki.Key{after}); err != nil {
			t.Error(err)
		}
	}
	b := newMux(t, "b", d, authority, nil)
	listen(t, b, "test/1")
	late := newMux(t, "late", d, newAuthority(t, "late", before), nil)
	conn, err := late.Dial(within(t), "b", "test/1")
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(limit))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is open")
	}
	until(t, "it is forgotten", func() bool { return authority.checks.Load() == 2 && b.Stats().Open == 0 })
}

func TestANodeThatIsNotOpenYetIsNotTakenForOneWithAnotherKey(t *testing.T) {
	m, _, d, key := target(t, nil)
	var log lockedLog
	a := newMux(t, "a", d, newAuthority(t, "a", key), logged(&log))
	if _, err := a.Dial(within(t), "b", "later/1"); err == nil {
		t.Fatal("a protocol that nobody listens for")
	}
	if m.Stats().Failed > 1 || log.lines("not open for this") != 1 || log.lines("another cluster key") != 0 {
		t.Errorf("%s", log.text.String())
	}
}
