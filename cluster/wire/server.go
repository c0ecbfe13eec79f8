package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers one request of the node from. ctx ends when the caller's
// deadline passes, when it gives up, when its connection breaks, and when the
// server closes. The body is the handler's. An error travels as its text and, if
// it has a method Code() byte, its code.
type Handler func(ctx context.Context, from string, method uint8, body []byte) ([]byte, error)

// ServerOptions of a Server; zero values mean the defaults.
type ServerOptions struct {
	// MaxBody is the greatest body of a request and of an answer, in bytes.
	// Default DefaultMaxBody.
	MaxBody int
	// MaxHandlers run at a time for one connection, and answers that wait to be
	// written count; requests above it are refused with CodeBusy. Default 256.
	MaxHandlers int
	Logger      *slog.Logger
}

// connsPerPeer: a client has one; a few more are left from before a break that
// only one side has noticed. The oldest goes.
const connsPerPeer = 4

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxHandlers == 0 {
		o.MaxHandlers = 256
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// ServerStats counts what a Server has seen since it was opened.
type ServerStats struct {
	Requests, Refused, Failed uint64
	// BrokeProtocol: connections that sent what is no frame.
	BrokeProtocol uint64
}

// Server answers the calls of other nodes.
type Server struct {
	listener net.Listener
	handle   Handler
	o        ServerOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	requests, refused, failed, broke atomic.Uint64

	mu     sync.Mutex
	closed bool
	conns  map[string][]*serverConn // by peer, the oldest first
}

// OpenServer serves the protocol on the network until Close.
func OpenServer(n Network, protocol string, handle Handler, o ServerOptions) (*Server, error) {
	listener, err := n.Listen(protocol)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", protocol, err)
	}
	s := &Server{listener: listener, handle: handle, o: o.withDefaults(), conns: make(map[string][]*serverConn)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.accept)
	return s, nil
}

// Stats may be called at any time.
func (s *Server) Stats() ServerStats {
	return ServerStats{
		Requests: s.requests.Load(), Refused: s.refused.Load(),
		Failed: s.failed.Load(), BrokeProtocol: s.broke.Load(),
	}
}

// acceptPause keeps a failing listener from spinning.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err == nil {
			s.admit(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.o.Logger.Warn("peer calls cannot be accepted", "error", err)
		select {
		case <-time.After(acceptPause):
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Server) admit(conn net.Conn) {
	sc := &serverConn{server: s, conn: conn, from: PeerID(conn), out: newOutbox(), running: make(map[uint64]context.CancelFunc)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || sc.from == "" {
		_ = conn.Close()
		return
	}
	conns := s.conns[sc.from]
	if len(conns) == connsPerPeer {
		conns[0].fail(errors.New("peer has opened newer connections"))
	}
	s.conns[sc.from] = append(conns, sc)
	sc.ctx, sc.cancel = context.WithCancel(s.ctx)
	s.tasks.Go(func() {
		sc.serve()
		s.forget(sc)
	})
}

func (s *Server) forget(sc *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := s.conns[sc.from]
	for i := range conns {
		if conns[i] == sc {
			conns = append(conns[:i:i], conns[i+1:]...)
			break
		}
	}
	if len(conns) == 0 {
		delete(s.conns, sc.from)
		return
	}
	s.conns[sc.from] = conns
}

// Close stops listening, ends the handlers' contexts and all connections, and
// waits until every handler has returned. It may be called several times.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, conns := range s.conns {
		for _, sc := range conns {
			sc.fail(ErrClosed)
		}
	}
	s.mu.Unlock()
	s.cancel()
	err := s.listener.Close()
	s.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
