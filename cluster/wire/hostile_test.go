package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

func TestRandomBytesAreDroppedAndCounted(t *testing.T) {
	m, l, d, key := target(t, nil)
	for i, junk := range []string{
		"\x00", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 100_000), "HFPR\x00\x01\x00\x00\x00\x80\x00\x00",
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "",
	} {
		conn := rawDial(t, m)
		_, _ = io.WriteString(conn, junk)
		_ = conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(conn); len(got) > 64 {
			t.Errorf("%d bytes were answered", len(got))
		}
		until(t, "counted", func() bool { return m.Stats().Failed == uint64(i+1) })
	}
	stillServes(t, m, l, d, key)
}

func TestOnlyNodesOfTheClusterGetIn(t *testing.T) {
	m, l, d, key := target(t, nil)
	ours, stranger := newAuthority(t, "a", key), newAuthority(t, "a", newKey(t))
	for i, c := range []struct {
		name   string
		config *tls.Config
	}{
		{"no certificate", change(ours, func(c *tls.Config) { c.GetClientCertificate = nil })},
		{"another authority", change(stranger, func(c *tls.Config) { c.VerifyConnection = nil })},
		{"TLS 1.2", change(ours, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 })},
		{"no protocol", change(ours, func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil })},
		{"another protocol", change(ours, func(c *tls.Config) { c.NextProtos = []string{"h2"} })},
	} {
		conn := tls.Client(rawDial(t, m), c.config)
		_, err := conn.Read(make([]byte, 1))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", c.name, err)
		}
		until(t, c.name+" is counted", func() bool { return m.Stats().Failed == uint64(i+1) })
	}
	if m.Stats().Accepted != 0 {
		t.Error("one of them got in")
	}
	stillServes(t, m, l, d, key)
}

func change(a *pki.Keyed, change func(*tls.Config)) *tls.Config {
	c := a.ClientTLS("b", "test/1")
	change(c)
	return c
}

func TestASlowHandshakeIsCutOff(t *testing.T) {
	m, l, d, key := target(t, func(c *MuxConfig) { c.HandshakeTimeout = time.Second })
	silent, dripping := rawDial(t, m), rawDial(t, m)
	if _, err := dripping.Write([]byte("\x16\x03\x01\x02\x00")); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{silent, dripping} {
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("still open")
		}
	}
	until(t, "both are counted", func() bool { return m.Stats().TimedOut == 2 && m.Stats().Greeting == 0 })
	stillServes(t, m, l, d, key)
}

func TestHeldOpenHandshakesCannotKeepNodesOut(t *testing.T) {
	m, l, d, key := target(t, func(c *MuxConfig) { c.MaxHandshakes, c.HandshakeTimeout = 4, time.Hour })
	var held []net.Conn
	for range 20 {
		held = append(held, rawDial(t, m))
	}
	until(t, "the oldest were pushed out", func() bool { return m.Stats().Evicted == 16 })
	if n := m.Stats().Greeting; n != 4 {
		t.Errorf("%d handshakes under way", n)
	}
	if _, err := io.Copy(io.Discard, held[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the oldest is still open")
	}
	stillServes(t, m, l, d, key)
}

func TestAnOversizedFrameEndsTheConnectionAndCostsNoMemory(t *testing.T) {
	key := newKey(t)
	d := &directory{addrs: make(map[string]string)}
	b := newMux(t, "b", d, newAuthority(t, "b", key), nil)
	s := serve(t, b, func(context.Context, string, uint8, []byte) ([]byte, error) { return nil, nil }, ServerOptions{MaxBody: 1000})
	a := newMux(t, "a", d, newAuthority(t, "a", key), nil)
	for i, junk := range [][]byte{
		frame{kind: kindRequest, body: make([]byte, 1001)}.appendHeader(nil),
		bytes.Repeat([]byte{0xff}, headerSize),
		make([]byte, headerSize),
		frame{kind: kindAnswer, id: 1}.appendHeader(nil),
		frame{kind: 9, id: 1}.appendHeader(nil),
	} {
		conn, err := a.Dial(within(t), "b", ProtocolPeer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readHello(conn); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(junk); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("still open")
		}
		_ = conn.Close()
		until(t, "counted", func() bool { return s.Stats().BrokeProtocol == uint64(i+1) })
	}
}
