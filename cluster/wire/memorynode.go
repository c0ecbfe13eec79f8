package wire

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// backlogConns may wait to be accepted.
const backlogConns = 128

// memoryDialTimeout bounds a dial whose context has no deadline, as Mux does.
const memoryDialTimeout = 5 * time.Second

// MemoryNode is one node's Network in a Memory.
type MemoryNode struct {
	id     string
	memory *Memory
	done   chan struct{}

	// Guarded by Memory.mu.
	closed    bool
	listeners map[string]*memoryListener
}

// Listen serves a protocol.
func (n *MemoryNode) Listen(protocol string) (net.Listener, error) {
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	if n.closed {
		return nil, fmt.Errorf("listen for %s: %w", protocol, net.ErrClosed)
	}
	if n.listeners[protocol] != nil {
		return nil, fmt.Errorf("listen for %s: %w", protocol, ErrTaken)
	}
	l := &memoryListener{
		node: n, protocol: protocol,
		backlog: make(chan *MemoryConn, backlogConns), done: make(chan struct{}),
	}
	n.listeners[protocol] = l
	return l, nil
}

// Dial opens a connection. A node that does not exist refuses at once; one that
// is cut off leaves the dial waiting until ctx ends or the cut is healed.
func (n *MemoryNode) Dial(ctx context.Context, id, protocol string) (net.Conn, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, memoryDialTimeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial node %s: %w", id, err)
	}
	conn, err := n.memory.connect(ctx, n, id, protocol)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", id, err)
	}
	return conn, nil
}

// Close ends the node's listeners and connections; see Memory.Kill. It may be
// called several times.
func (n *MemoryNode) Close() error {
	m := n.memory
	m.mu.Lock()
	if n.closed {
		m.mu.Unlock()
		return nil
	}
	n.closed = true
	close(n.done)
	if m.nodes[n.id] == n {
		delete(m.nodes, n.id)
	}
	var listeners []*memoryListener
	for _, l := range n.listeners {
		listeners = append(listeners, l)
	}
	var ends []*MemoryConn
	for p := range m.pipes {
		for side, id := range p.ids {
			if id == n.id {
				ends = append(ends, &MemoryConn{pipe: p, side: side})
			}
		}
	}
	m.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, c := range ends {
		_ = c.Close()
	}
	return nil
}

type memoryListener struct {
	node     *MemoryNode
	protocol string
	backlog  chan *MemoryConn
	done     chan struct{}
	once     sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closedError()
	default:
	}
	select {
	case conn := <-l.backlog:
		return conn, nil
	case <-l.done:
		return nil, l.closedError()
	}
}

func (l *memoryListener) closedError() error {
	return &net.OpError{Op: "accept", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr(l.node.id) }

// Close refuses what waits to be accepted. Accepted connections stay open.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		m := l.node.memory
		m.mu.Lock()
		delete(l.node.listeners, l.protocol)
		m.mu.Unlock()
		close(l.done)
		for {
			select {
			case conn := <-l.backlog:
				_ = conn.Close()
			default:
				return
			}
		}
	})
	return nil
}

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }
