package api

import (
	"net"
	"sync"
	"sync/atomic"
)

// listener bounds the open connections: above max it stops accepting, and the kernel's queue holds the rest.
type listener struct {
	net.Listener
	slots chan struct{}
	open  atomic.Int64
	// guard, if set, reads plain HTTP/1 with us: see conn. It makes the answer to a request that net/http or we refuse
	// before any handler.
	guard func(refusal) []byte

	closing sync.Once
	closed  chan struct{}
}

func newListener(ln net.Listener, max int) *listener {
	return &listener{Listener: ln, slots: make(chan struct{}, max), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	raw, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	l.open.Add(1)
	counted := &countedConn{Conn: raw, ln: l}
	if l.guard == nil {
		return counted, nil
	}
	return &conn{stream: counted, guard: l.guard}, nil
}

func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	ln   *listener
	once sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.ln.open.Add(-1)
		<-c.ln.slots
	})
	return err
}

// CloseWrite lets net/http end an answer before it hangs up.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
