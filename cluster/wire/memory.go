package wire

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Memory is a network in memory for simulated clusters. It has the faults of a
// real one, and none by chance: every method says what it breaks. Everything
// blocks on channels and conditions made by its users' goroutines, so that a
// cluster on it runs under testing/synctest.
//
// A direction that is cut loses nothing for good, as under TCP: what is sent
// meanwhile arrives when it is healed, unless the connection was given up.
type Memory struct {
	mu    sync.Mutex
	nodes map[string]*MemoryNode
	paths map[path]condition
	pipes map[*pipe]struct{}
	// healed is closed and replaced whenever a path gets better.
	healed chan struct{}
}

// path is a direction between two nodes.
type path struct{ from, to string }

// condition of a path; zero is a perfect one.
type condition struct {
	cut   bool
	delay time.Duration
}

// NewMemory makes a network without nodes.
func NewMemory() *Memory {
	return &Memory{
		nodes:  make(map[string]*MemoryNode),
		paths:  make(map[path]condition),
		pipes:  make(map[*pipe]struct{}),
		healed: make(chan struct{}),
	}
}

// Node is the network as the node id has it. After Kill, or the node's own
// Close, it is a new one: a restarted process.
func (m *Memory) Node(id string) *MemoryNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[id]
	if n == nil {
		n = &MemoryNode{id: id, memory: m, listeners: make(map[string]*memoryListener), done: make(chan struct{})}
		m.nodes[id] = n
	}
	return n
}

// Cut stops everything between two nodes, both ways.
func (m *Memory) Cut(a, b string) {
	m.set(func(c *condition) { c.cut = true }, path{a, b}, path{b, a})
}

// CutOneWay stops what from sends to to. Neither can dial the other then.
func (m *Memory) CutOneWay(from, to string) {
	m.set(func(c *condition) { c.cut = true }, path{from, to})
}

// Heal undoes Cut and CutOneWay between two nodes.
func (m *Memory) Heal(a, b string) {
	m.set(func(c *condition) { c.cut = false }, path{a, b}, path{b, a})
}

// HealAll undoes every cut and delay.
func (m *Memory) HealAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.paths)
	m.changed()
}

// Isolate cuts a node off from all others that have been asked for so far.
func (m *Memory) Isolate(id string) {
	for _, other := range m.ids() {
		if other != id {
			m.Cut(id, other)
		}
	}
}

// Partition cuts the groups off from each other and heals each within itself.
// Nodes in no group stay as they are.
func (m *Memory) Partition(groups ...[]string) {
	for i, group := range groups {
		for _, a := range group {
			for j, other := range groups {
				for _, b := range other {
					switch {
					case i == j && a != b:
						m.Heal(a, b)
					case i != j:
						m.Cut(a, b)
					}
				}
			}
		}
	}
}

// Delay makes what from sends to to arrive that much later; 0 undoes it.
func (m *Memory) Delay(from, to string, d time.Duration) {
	m.set(func(c *condition) { c.delay = d }, path{from, to})
}

// Kill ends a node as kill -9 does: its connections and listeners are gone at
// once. Others notice as far as they can be reached.
func (m *Memory) Kill(id string) {
	m.mu.Lock()
	n := m.nodes[id]
	m.mu.Unlock()
	if n != nil {
		_ = n.Close()
	}
}

func (m *Memory) ids() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.nodes))
	for id := range m.nodes {
		ids = append(ids, id)
	}
	return ids
}

func (m *Memory) set(change func(*condition), paths ...path) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range paths {
		c := m.paths[p]
		change(&c)
		m.paths[p] = c
	}
	m.changed()
}

// changed tells all connections and waiting dials what the paths are like now.
func (m *Memory) changed() {
	for p := range m.pipes {
		p.adjust(m.conditions(p.ids))
	}
	close(m.healed)
	m.healed = make(chan struct{})
}

// conditions of both directions between two nodes, that of ids[0]'s words first.
func (m *Memory) conditions(ids [2]string) [2]condition {
	return [2]condition{m.paths[path{ids[0], ids[1]}], m.paths[path{ids[1], ids[0]}]}
}

// connect opens a connection, and waits as long as the path is cut.
func (m *Memory) connect(ctx context.Context, from *MemoryNode, id, protocol string) (net.Conn, error) {
	for {
		conn, healed, err := m.tryConnect(from, id, protocol)
		if conn != nil || err != nil {
			return conn, err
		}
		select {
		case <-healed:
		case <-from.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryConnect gives the channel to wait on if the path is cut.
func (m *Memory) tryConnect(from *MemoryNode, id, protocol string) (net.Conn, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from.closed {
		return nil, nil, net.ErrClosed
	}
	ids := [2]string{from.id, id}
	now := m.conditions(ids)
	if now[0].cut || now[1].cut {
		return nil, m.healed, nil
	}
	to := m.nodes[id]
	if to == nil || to.listeners[protocol] == nil {
		return nil, nil, fmt.Errorf("dial node %s for %s: %w", id, protocol, ErrRefused)
	}
	p := newPipe(m, ids)
	p.adjust(now)
	select {
	case to.listeners[protocol].backlog <- &MemoryConn{pipe: p, side: 1}:
	default:
		return nil, nil, fmt.Errorf("dial node %s for %s: backlog is full: %w", id, protocol, ErrRefused)
	}
	m.pipes[p] = struct{}{}
	return &MemoryConn{pipe: p, side: 0}, nil, nil
}

func (m *Memory) forget(p *pipe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pipes, p)
}
