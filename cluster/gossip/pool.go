package gossip

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/holdfastdb/holdfast/cluster/quiet"
)

// updateTimeout bounds the wait until news about this node are on their way.
const updateTimeout = time.Second

// Pool is this node's part in the gossip of its cluster. It is safe for
// concurrent use.
type Pool struct {
	c         Config
	roster    *roster
	memory    *memory
	transport *transport
	strangers quiet.Log
	list      *memberlist.Memberlist

	ctx    context.Context // ends with Leave and Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	// mu serializes SetMeta, SetKeys, Leave and Close.
	mu     sync.Mutex
	closed bool
	left   bool
	ring   *memberlist.Keyring
}

// Open listens and begins to look for the others; it does not wait for any.
func Open(c Config) (*Pool, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	p := &Pool{c: c, roster: newRoster(c.Logger)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open(); err != nil {
		p.cancel()
		if p.transport != nil {
			_ = p.transport.Shutdown()
		}
		return nil, fmt.Errorf("gossip on %s: %w", c.BindAddr, err)
	}
	p.tasks.Go(p.look)
	return p, nil
}

func (p *Pool) open() error {
	encoded, err := p.c.Meta.encode()
	if err != nil {
		return err
	}
	p.roster.setOwn(encoded)
	if p.memory, err = recall(p.c.PeersFile); err != nil {
		p.c.Logger.Warn("remembered peers cannot be read, they are forgotten", "error", err)
	}
	bind, err := resolveOne(p.ctx, p.c.BindAddr)
	if err != nil {
		return err
	}
	logger := newBridge(p.c.Logger)
	if p.transport, err = newTransport(bind, logger); err != nil {
		return err
	}
	bind.port = p.transport.GetAutoBindPort()
	advertised, err := p.advertised(bind)
	if err != nil {
		return err
	}
	s := p.c.settings()
	s.Transport = p.transport
	s.BindAddr, s.BindPort = bind.ip.String(), bind.port
	s.AdvertiseAddr, s.AdvertisePort = advertised.ip.String(), advertised.port
	s.Logger = logger
	s.Delegate, s.Events, s.Conflict, s.Alive = p.roster, p.roster, p.roster, p.roster
	if p.ring, err = newKeyring(p.c.Keys); err != nil {
		return err
	}
	s.Keyring = p.ring
	p.list, err = memberlist.Create(s)
	return err
}

// advertised is what the others are told.
func (p *Pool) advertised(bind endpoint) (endpoint, error) {
	if p.c.AdvertiseAddr != "" {
		given, err := resolveOne(p.ctx, p.c.AdvertiseAddr)
		if err != nil {
			return endpoint{}, err
		}
		if given.port == 0 {
			given.port = bind.port
		}
		if !given.ip.IsUnspecified() {
			return given, nil
		}
		bind.port = given.port
	}
	if !bind.ip.IsUnspecified() {
		return bind, nil
	}
	ip, err := reachable()
	return endpoint{ip: ip, port: bind.port}, err
}

// Members are the nodes that are alive, this one included, by id.
func (p *Pool) Members() []Member { return p.roster.list() }

// Changed receives after members came, left or changed; several changes may
// share one signal. It has one receiver, and is never closed.
func (p *Pool) Changed() <-chan struct{} { return p.roster.changed }

// Address is where the cluster port of the node id was last heard of: from
// gossip if it is there, else from the remembered peers.
func (p *Pool) Address(id string) (string, bool) {
	if m, ok := p.roster.find(id); ok && m.ClusterAddr != "" {
		return m.ClusterAddr, true
	}
	if r, ok := p.memory.find(id); ok && r.ClusterAddr != "" {
		return r.ClusterAddr, true
	}
	return "", false
}

// Conflicts are ids that more than one process has claimed within the last
// minute. One that lasts is an operator's mistake.
func (p *Pool) Conflicts() []Conflict { return p.roster.listConflicts() }

// Forget drops the remembered address of a node that was removed for good.
func (p *Pool) Forget(id string) { p.memory.forget(id); signal(p.roster.moved) }

// Addr is the gossip address that the others are told.
func (p *Pool) Addr() string {
	m, _ := p.roster.find(p.c.NodeID)
	return m.GossipAddr
}

// SetMeta tells the others something new about this node. It fails if that does
// not fit; that the news are not out within a second is no failure.
func (p *Pool) SetMeta(m Meta) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.ID == "" {
		m.ID = p.c.NodeID
	}
	if m.ID != p.c.NodeID {
		return fmt.Errorf("metadata are of node %q, this is %q", m.ID, p.c.NodeID)
	}
	encoded, err := m.encode()
	if err != nil {
		return err
	}
	if p.closed || p.left {
		return nil
	}
	p.roster.setOwn(encoded)
	if err := p.list.UpdateNode(updateTimeout); err != nil {
		p.c.Logger.Debug("news about this node are slow", "error", err)
	}
	return nil
}

// Leave tells the others that this node stops on purpose, and waits until they
// were told, or for the timeout. That the news are not out by then is no failure:
// whoever has not heard finds this node dead a few seconds later.
func (p *Pool) Leave(timeout time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.left {
		return nil
	}
	p.left = true
	// A join that is under way does no harm: whoever has left stays so.
	p.cancel()
	if err := p.list.Leave(timeout); err != nil {
		p.c.Logger.Debug("the news that this node leaves are slow", "error", err)
	}
	return nil
}

// Close stops gossip and waits for the pool's goroutines. Without Leave the
// others take this node for dead a few seconds later. It may be called several
// times.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.cancel()
	// The transport goes first: joins under way end with it.
	err := p.transport.Shutdown()
	p.tasks.Wait()
	if shutdown := p.list.Shutdown(); err == nil {
		err = shutdown
	}
	return err
}
