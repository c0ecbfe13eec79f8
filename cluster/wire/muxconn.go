package wire

import (
	"crypto/tls"
	"net"
	"sync"
)

// Conn is a connection of a Mux: TLS with the node PeerID at the other end.
type Conn struct {
	*tls.Conn
	raw     net.Conn
	mux     *Mux
	peer    string
	inbound bool
	once    sync.Once
	closing error
}

// PeerID is the node at the other end, as its certificate proved it.
func (c *Conn) PeerID() string { return c.peer }

// Close ends the connection at once. TLS's own goodbye may wait seconds for a
// peer that reads nothing, and no protocol here needs it: frames have lengths.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.closing = c.raw.Close()
		c.mux.untrack(c)
	})
	return c.closing
}

// CloseWrite is not for these connections: both ends close whole.
func (c *Conn) CloseWrite() error { return c.Close() }

// muxListener hands out the accepted connections of one protocol.
type muxListener struct {
	mux      *Mux
	protocol string
	conns    chan *Conn
	done     chan struct{}
	once     sync.Once
}

func (l *muxListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: l.protocol, Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *muxListener) Addr() net.Addr { return l.mux.Addr() }

// Close stops serving the protocol; connections that were accepted stay open.
func (l *muxListener) Close() error {
	l.mux.mu.Lock()
	if l.mux.listeners[l.protocol] == l {
		delete(l.mux.listeners, l.protocol)
	}
	l.mux.mu.Unlock()
	l.end()
	return nil
}

func (l *muxListener) end() { l.once.Do(func() { close(l.done) }) }

// deliver reports whether somebody accepted the connection.
func (l *muxListener) deliver(conn *Conn) bool {
	select {
	case l.conns <- conn:
		return true
	case <-l.done:
		return false
	}
}
