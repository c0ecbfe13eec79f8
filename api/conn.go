package api

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// poison is what follows the bytes before a refused place: no line or value of a head may hold a NUL, so that net/http
// refuses the request itself, in its turn behind the requests that came before it.
const poison = "\x00\r\n\r\n"

// What net/http writes by itself to a request that it cannot read begins with one of these. Both hold a carriage return,
// which no body of ours does: a piece of one can never be mistaken for them.
const (
	netHTTPErrorHead   = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	netHTTPExpectation = "HTTP/1.1 417 Expectation Failed\r\n"
)

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// stream is a connection whose sending half can be closed alone.
type stream interface {
	net.Conn
	CloseWrite() error
}

// conn reads an HTTP/1 connection, plain or inside TLS, along with net/http. It refuses what headScan refuses, and turns net/http's own
// refusals, which are plain text, into problem documents.
type conn struct {
	stream
	guard func(refusal) []byte

	scan    headScan
	pending []byte // to be read before anything else
	done    bool   // nothing is read from the connection any more
	why     atomic.Uint32
	refused atomic.Bool
}

// Read is called by one goroutine at a time, as net/http does.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	if c.done {
		return 0, io.EOF
	}
	n, err := c.stream.Read(p)
	if n == 0 {
		return n, err
	}
	keep, why := c.scan.feed(p[:n])
	if why == refusedNot {
		return n, err
	}
	c.why.Store(uint32(why))
	c.done = true
	copied := copy(p[keep:], poison)
	c.pending = []byte(poison[copied:])
	return keep + copied, nil
}

// Write passes on everything but net/http's own refusals, which it writes in one piece before any answer of ours.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) < 16 || p[9] != '4' && p[9] != '5' || !isRefusal(p) {
		return c.stream.Write(p)
	}
	why := refusal(c.why.Load())
	if why == refusedNot {
		why = refusedMalformed
		if bytes.HasPrefix(p, []byte("HTTP/1.1 431 ")) {
			why = refusedHeadSize
		}
	}
	c.refused.Store(true)
	if _, err := c.stream.Write(c.guard(why)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func isRefusal(p []byte) bool {
	if bytes.HasPrefix(p, []byte(netHTTPExpectation)) {
		return true
	}
	line := bytes.IndexByte(p, '\r')
	return line > 0 && strings.HasPrefix(string(p[:9]), "HTTP/1.") && bytes.HasPrefix(p[line:], []byte(netHTTPErrorHead))
}

// Close lets a refused client read why: closing with unread bytes makes TCP throw away what was sent.
func (c *conn) Close() error {
	if c.refused.Load() {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.stream, lingerBytes))
	}
	return c.stream.Close()
}

var _ net.Conn = (*conn)(nil)
