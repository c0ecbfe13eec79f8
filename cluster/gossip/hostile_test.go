package gossip

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestNodesWithAnotherKeyOrLabelStayOut(t *testing.T) {
	a := open(t, config("n1"))
	other := config("n2", a.Addr())
	other.Keys = [][32]byte{key(2)}
	b := open(t, other)
	labelled := config("n3", a.Addr())
	labelled.Label = "something else"
	c := open(t, labelled)
	plain := memberlist.DefaultLANConfig()
	plain.Name, plain.BindAddr, plain.BindPort, plain.LogOutput, plain.Label = "n4", "127.0.0.1", 0, io.Discard, DefaultLabel
	unsigned, err := memberlist.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unsigned.Shutdown() }()
	for range 3 {
		if _, err := unsigned.Join([]string{a.Addr()}); err == nil {
			t.Error("an unsigned join was answered")
		}
		for _, p := range []*Pool{b, c} {
			if _, err := p.list.Join([]string{a.Addr()}); err == nil {
				t.Error("a stranger's join was answered")
			}
		}
	}
	if !sees(a, "n1") || !sees(b, "n2") || !sees(c, "n3") {
		t.Error("somebody got in")
	}
}

func TestStrangersBytesDoNoHarm(t *testing.T) {
	var log lockedBuffer
	c := config("n1")
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := open(t, c)
	for i := range 200 {
		conn, err := net.Dial("udp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		junk := bytes.Repeat([]byte{byte(i), 244, 10}, i)
		_, _ = conn.Write(append([]byte("\xf4\x0a"+DefaultLabel), junk...))
		_, _ = conn.Write(junk)
		_ = conn.Close()
	}
	for i := range 20 {
		conn, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(append([]byte("\xf4\x0a"+DefaultLabel+"\x0a\xff\xff\xff\xff"), byte(i)))
		_ = conn.Close()
	}
	b := open(t, config("n2", a.Addr()))
	until(t, "nodes still meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	if n := strings.Count(log.String(), "level=WARN"); n > warnBurst {
		t.Errorf("strangers caused %d warnings", n)
	}
}

func TestHeldOpenStreamsAreBoundedAndEndWithClose(t *testing.T) {
	c := config("n1")
	c.tune = func(s *memberlist.Config) { quick(s); s.TCPTimeout = time.Hour }
	a := open(t, c)
	var held []net.Conn
	for range maxStreams + 10 {
		conn, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	for _, conn := range held[:10] {
		_ = conn.SetDeadline(time.Now().Add(limit))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the oldest streams are still open")
		}
	}
	b := open(t, config("n2", a.Addr()))
	until(t, "nodes still meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	began := time.Now()
	shut(t, a)
	if took := time.Since(began); took > limit {
		t.Errorf("close took %s", took)
	}
}

// lockedBuffer is a log that goroutines write and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
