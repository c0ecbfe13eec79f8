package api

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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

	mu    sync.Mutex
	conns map[*countedConn]bool // that are open
}

func newListener(ln net.Listener, max int) *listener {
	return &listener{Listener: ln, slots: make(chan struct{}, max), closed: make(chan struct{}), conns: make(map[*countedConn]bool)}
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
	counted := &countedConn{Conn: raw, ln: l, made: time.Now()}
	l.mu.Lock()
	l.conns[counted] = true
	l.mu.Unlock()
	if l.guard == nil {
		return counted, nil
	}
	return &conn{stream: counted, guard: l.guard}, nil
}

// Close may be called again: a shutdown closes its listeners, and so does net/http.
func (l *listener) Close() (err error) {
	l.closing.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// busy says whether a connection has a request that is not answered, or may have one on its way: nothing has come yet on
// one that was made a moment ago.
func (l *listener) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		switch http.ConnState(c.state.Load()) {
		case http.StateActive:
			return true
		case http.StateNew:
			if time.Since(c.made) < firstRequestTime {
				return true
			}
		}
	}
	return false
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	ln    *listener
	made  time.Time
	state atomic.Int32 // http.ConnState, as net/http last said
	once  sync.Once
}

// connState notes what net/http says about one of our connections, whatever it is wrapped in.
func connState(c net.Conn, state http.ConnState) {
	for {
		switch inner := c.(type) {
		case *countedConn:
			inner.state.Store(int32(state))
			return
		case *conn:
			c = inner.stream
		case *tls.Conn:
			c = inner.NetConn()
		default:
			return
		}
	}
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.ln.open.Add(-1)
		c.ln.mu.Lock()
		delete(c.ln.conns, c)
		c.ln.mu.Unlock()
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
