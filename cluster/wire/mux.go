package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/cluster/quiet"
)

// Authority says who this node is and whom it believes; *pki.Authority is one.
type Authority interface {
	// ServerTLS demands a certificate of a node and one of the protocols.
	ServerTLS(protocols ...string) *tls.Config
	// ClientTLS demands the node id.
	ClientTLS(id, protocol string) *tls.Config
	// Peer is who is at the other end of a finished handshake.
	Peer(state tls.ConnectionState) (id string, err error)
}

// MuxConfig of a Mux; zero durations and limits mean the defaults.
type MuxConfig struct {
	// Addr to listen on, HOST:PORT.
	Addr      string
	Authority Authority
	// Resolve finds the address of a node, HOST:PORT.
	Resolve func(id string) (addr string, ok bool)
	// HandshakeTimeout bounds a handshake, either side. Default 5 s.
	HandshakeTimeout time.Duration
	// DialTimeout bounds a Dial whose context has no deadline, handshake
	// included. Default 5 s.
	DialTimeout time.Duration
	// MaxHandshakes may be under way; one more ends the oldest, so that those
	// who only hold connections open cannot keep nodes out. Default 64.
	MaxHandshakes int
	// MaxConns accepted connections may be open. Default 1024.
	MaxConns int
	Logger   *slog.Logger
}

func (c MuxConfig) withDefaults() MuxConfig {
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 5 * time.Second
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.MaxHandshakes == 0 {
		c.MaxHandshakes = 64
	}
	if c.MaxConns == 0 {
		c.MaxConns = 1024
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate names every fault at once.
func (c MuxConfig) Validate() error {
	var faults []error
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		faults = append(faults, fmt.Errorf("cluster address %q: want HOST:PORT", c.Addr))
	}
	if c.Authority == nil {
		faults = append(faults, errors.New("no authority"))
	}
	if c.Resolve == nil {
		faults = append(faults, errors.New("no resolver"))
	}
	if c.HandshakeTimeout < 0 || c.DialTimeout < 0 || c.MaxHandshakes < 0 || c.MaxConns < 0 {
		faults = append(faults, errors.New("timeouts and limits must not be negative"))
	}
	return errors.Join(faults...)
}

// keepAlive finds out within about 11 s that an idle peer is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// Mux is the Network of a real node: one TCP port for all protocols, TLS 1.3
// with certificates on both sides, ALPN to tell the protocols apart.
type Mux struct {
	c        MuxConfig
	listener net.Listener
	counts   counters

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners map[string]*muxListener
	// greeting are the connections in their handshake, the oldest first.
	greeting []net.Conn
	accepted int
	open     map[*Conn]struct{}
	quiet    quiet.Log // of refusals
}

// OpenMux listens. Connections for protocols that nobody serves yet are refused
// in their handshake.
func OpenMux(c MuxConfig) (*Mux, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	m := &Mux{c: c, listeners: make(map[string]*muxListener), open: make(map[*Conn]struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	listen := net.ListenConfig{KeepAliveConfig: keepAlive}
	listener, err := listen.Listen(m.ctx, "tcp", c.Addr)
	if err != nil {
		m.cancel()
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	m.listener = listener
	m.tasks.Go(m.accept)
	return m, nil
}

// Addr is where the Mux listens, with the port that the system chose for :0.
func (m *Mux) Addr() net.Addr { return m.listener.Addr() }

// Listen serves a protocol from now on.
func (m *Mux) Listen(protocol string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("listen for %s: %w", protocol, net.ErrClosed)
	}
	if m.listeners[protocol] != nil {
		return nil, fmt.Errorf("listen for %s: %w", protocol, ErrTaken)
	}
	l := &muxListener{mux: m, protocol: protocol, conns: make(chan *Conn), done: make(chan struct{})}
	m.listeners[protocol] = l
	return l, nil
}

// Dial opens a connection to the node id. It fails if the address that is known
// for it leads to anybody else.
func (m *Mux) Dial(ctx context.Context, id, protocol string) (net.Conn, error) {
	ctx, cancel := m.dialContext(ctx)
	defer cancel()
	addr, ok := m.c.Resolve(id)
	if !ok {
		return nil, fmt.Errorf("dial node %s: %w", id, ErrUnknownNode)
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", id, err)
	}
	conn := &Conn{Conn: tls.Client(raw, m.c.Authority.ClientTLS(id, protocol)), raw: raw, mux: m, peer: id}
	greet, done := context.WithTimeout(ctx, m.c.HandshakeTimeout)
	err = conn.HandshakeContext(greet)
	done()
	if err != nil {
		_ = raw.Close()
		m.counts.dialFailures.Add(1)
		m.refused(id, raw.RemoteAddr(), err)
		return nil, fmt.Errorf("dial node %s at %s: %w", id, addr, err)
	}
	if !m.track(conn) {
		_ = raw.Close()
		return nil, fmt.Errorf("dial node %s at %s: %w", id, addr, net.ErrClosed)
	}
	if err := m.recheck(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("dial node %s at %s: %w", id, addr, err)
	}
	return conn, nil
}

// recheck asks again who is at the other end, of a connection that DropPeers can
// see by now. A handshake that was under way when a key was removed may have been
// made by it.
func (m *Mux) recheck(conn *Conn) error {
	_, err := m.c.Authority.Peer(conn.ConnectionState())
	return err
}

// dialContext ends with the caller's context, the Mux, or the timeout.
func (m *Mux) dialContext(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, m.c.DialTimeout)
	}
	stop := context.AfterFunc(m.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// DropPeers ends the connections, accepted and dialled, whose peer the Authority
// does not believe any more, and returns how many those were. Handshakes under
// way fail by themselves. It is to be called after a key was removed.
func (m *Mux) DropPeers() int {
	m.mu.Lock()
	open := make([]*Conn, 0, len(m.open))
	for conn := range m.open {
		open = append(open, conn)
	}
	m.mu.Unlock()
	dropped := 0
	for _, conn := range open {
		if m.recheck(conn) != nil {
			_ = conn.Close()
			dropped++
		}
	}
	return dropped
}

// Close ends all listeners, handshakes and connections, and waits for the Mux's
// goroutines. It may be called several times.
func (m *Mux) Close() error {
	m.mu.Lock()
	m.closed = true
	greeting := m.greeting
	m.greeting = nil
	open := m.open
	m.open = make(map[*Conn]struct{})
	listeners := m.listeners
	m.listeners = make(map[string]*muxListener)
	m.mu.Unlock()

	m.cancel()
	err := m.listener.Close()
	for _, l := range listeners {
		l.end()
	}
	for _, raw := range greeting {
		_ = raw.Close()
	}
	for conn := range open {
		_ = conn.Close()
	}
	m.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// track remembers an open connection; false means that the Mux is closed.
func (m *Mux) track(conn *Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.open[conn] = struct{}{}
	return true
}

func (m *Mux) untrack(conn *Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, conn)
	if conn.inbound {
		m.accepted--
	}
}
