package gossip

import (
	"context"
	"log"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxStreams from outside may be open at a time. Anybody may hold one open for
// memberlist's TCP timeout, and honest ones are over in no time, so one more
// ends the oldest.
const maxStreams = 64

// transport is memberlist's own with an end: its streams are bounded and close
// with it, so that Close has nothing to wait for.
type transport struct {
	*memberlist.NetTransport

	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	streams chan net.Conn
	once    sync.Once
	closing error

	mu     sync.Mutex
	closed bool
	open   map[*stream]struct{}
	// inbound are those of open that others opened, the oldest first.
	inbound []*stream
}

func newTransport(bind endpoint, logger *log.Logger) (*transport, error) {
	inner, err := listen(bind, logger)
	if err != nil {
		return nil, err
	}
	t := &transport{NetTransport: inner, streams: make(chan net.Conn), open: make(map[*stream]struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.tasks.Go(t.forward)
	return t, nil
}

// listenTries: with port 0 the TCP port that the system chose may be taken for UDP.
const listenTries = 10

func listen(bind endpoint, logger *log.Logger) (inner *memberlist.NetTransport, err error) {
	tries := 1
	if bind.port == 0 {
		tries = listenTries
	}
	for range tries {
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{bind.ip.String()}, BindPort: bind.port, Logger: logger,
		})
		if err == nil {
			return inner, nil
		}
	}
	return nil, err
}

// forward takes what the listener accepts. It goes on until the listener has
// ended, because that waits for it.
func (t *transport) forward() {
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			s := t.adopt(conn, true)
			if s == nil {
				continue
			}
			select {
			case t.streams <- s:
			case <-t.ctx.Done():
				_ = s.Close()
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// adopt makes conn one that Shutdown ends; nil means that the transport has ended.
func (t *transport) adopt(conn net.Conn, inbound bool) *stream {
	s := &stream{Conn: conn, transport: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = conn.Close()
		return nil
	}
	t.open[s] = struct{}{}
	if !inbound {
		return s
	}
	if len(t.inbound) == maxStreams {
		_ = t.inbound[0].Conn.Close()
		t.inbound = slices.Delete(t.inbound, 0, 1)
	}
	t.inbound = append(t.inbound, s)
	return s
}

// StreamCh hands out accepted streams.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout opens a stream to an address.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := t.adopt(conn, false)
	if s == nil {
		return nil, net.ErrClosed
	}
	return s, nil
}

// DialAddressTimeout opens a stream to a node's address.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown ends listeners and streams and waits for the transport's goroutines.
func (t *transport) Shutdown() error {
	t.once.Do(func() {
		t.mu.Lock()
		t.closed = true
		open := t.open
		t.open = make(map[*stream]struct{})
		t.mu.Unlock()
		for s := range open {
			_ = s.Conn.Close()
		}
		t.closing = t.NetTransport.Shutdown()
		t.cancel()
		t.tasks.Wait()
	})
	return t.closing
}

type stream struct {
	net.Conn
	transport *transport
	once      sync.Once
}

func (s *stream) Close() error {
	s.once.Do(func() {
		t := s.transport
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, s)
		if i := slices.Index(t.inbound, s); i >= 0 {
			t.inbound = slices.Delete(t.inbound, i, i+1)
		}
	})
	return s.Conn.Close()
}
