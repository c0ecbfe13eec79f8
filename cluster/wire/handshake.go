package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// acceptRetry is the pause after a failed accept, as when file descriptors ran out.
const acceptRetry = 20 * time.Millisecond

type counters struct {
	accepted, failed, timedOut, evicted, overLimit, unserved, dialFailures atomic.Uint64
}

// MuxStats counts what a Mux has seen since it was opened.
type MuxStats struct {
	// Accepted handshakes, and those that Failed (no certificate of a node of this
	// cluster, no TLS at all, no protocol that is served), TimedOut, or were
	// Evicted by a newer one when too many were under way.
	Accepted, Failed, TimedOut, Evicted uint64
	// OverLimit: authenticated connections beyond MaxConns.
	OverLimit uint64
	// Unserved: nobody listened to the protocol any longer.
	Unserved uint64
	// DialFailures: handshakes of this node with others that failed.
	DialFailures uint64
	// Open connections now, both ways; Greeting are in their handshake.
	Open, Greeting int
}

// Stats may be called at any time.
func (m *Mux) Stats() MuxStats {
	m.mu.Lock()
	open, greeting := len(m.open), len(m.greeting)
	m.mu.Unlock()
	return MuxStats{
		Accepted: m.counts.accepted.Load(), Failed: m.counts.failed.Load(),
		TimedOut: m.counts.timedOut.Load(), Evicted: m.counts.evicted.Load(),
		OverLimit: m.counts.overLimit.Load(), Unserved: m.counts.unserved.Load(),
		DialFailures: m.counts.dialFailures.Load(),
		Open:         open, Greeting: greeting,
	}
}

func (m *Mux) accept() {
	for {
		raw, err := m.listener.Accept()
		if err == nil {
			m.greet(raw)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m.c.Logger.Warn("cluster connections cannot be accepted", "error", err)
		select {
		case <-time.After(acceptRetry):
		case <-m.ctx.Done():
			return
		}
	}
}

// greet begins a handshake. Anybody can open connections, so those beyond the
// limit push out the one that has had the longest time.
func (m *Mux) greet(raw net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = raw.Close()
		return
	}
	if len(m.greeting) >= m.c.MaxHandshakes {
		_ = m.greeting[0].Close()
		m.greeting = slices.Delete(m.greeting, 0, 1)
		m.counts.evicted.Add(1)
	}
	m.greeting = append(m.greeting, raw)
	m.tasks.Go(func() { m.shake(raw) })
}

// greeted takes raw off the list; false means that it was pushed out.
func (m *Mux) greeted(raw net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.greeting, raw)
	if i < 0 {
		return false
	}
	m.greeting = slices.Delete(m.greeting, i, i+1)
	return true
}

func (m *Mux) protocols() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.listeners))
	for name := range m.listeners {
		names = append(names, name)
	}
	return names
}

// shake makes the handshake and hands the connection to its protocol's listener.
func (m *Mux) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(m.ctx, m.c.HandshakeTimeout)
	defer cancel()
	conn := &Conn{raw: raw, mux: m, inbound: true}
	protocols := m.protocols()
	err := errors.New("no protocol is served")
	if len(protocols) > 0 {
		conn.Conn = tls.Server(raw, m.c.Authority.ServerTLS(protocols...))
		err = conn.HandshakeContext(ctx)
	}
	if err == nil {
		conn.peer, err = m.c.Authority.Peer(conn.ConnectionState())
	}
	there := m.greeted(raw)
	switch {
	case err == nil:
		m.deliver(conn)
		return
	case !there: // counted as evicted, or the Mux is closed
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		m.counts.timedOut.Add(1)
	default:
		m.counts.failed.Add(1)
	}
	m.refuse(raw.RemoteAddr(), err)
	_ = raw.Close()
}

func (m *Mux) deliver(conn *Conn) {
	if !m.admit(conn) {
		_ = conn.raw.Close()
		return
	}
	if err := m.recheck(conn); err != nil {
		m.refuse(conn.raw.RemoteAddr(), err)
		_ = conn.Close()
		return
	}
	protocol := conn.ConnectionState().NegotiatedProtocol
	m.mu.Lock()
	l := m.listeners[protocol]
	m.mu.Unlock()
	if l == nil || !l.deliver(conn) {
		m.counts.unserved.Add(1)
		_ = conn.Close()
	}
}

func (m *Mux) admit(conn *Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if m.accepted >= m.c.MaxConns {
		m.counts.overLimit.Add(1)
		m.c.Logger.Warn("too many cluster connections", "limit", m.c.MaxConns, "node", conn.peer)
		return false
	}
	m.accepted++
	m.open[conn] = struct{}{}
	m.counts.accepted.Add(1)
	return true
}
