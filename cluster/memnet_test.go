package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/holdfastdb/holdfast/cluster/wire"
)

// memNet is the network in memory, and a lock for what tests change beside it.
type memNet struct {
	*wire.Memory
	mu sync.Mutex
}

func newMemNet() *memNet { return &memNet{Memory: wire.NewMemory()} }

func (m *memNet) set(from, to string, cut bool) {
	if cut {
		m.CutOneWay(from, to)
	}
}

func (m *memNet) heal() { m.HealAll() }

// memPeers is a gossip that knows everybody who was ever named.
type memPeers struct {
	mu  sync.Mutex
	ids []string
}

func (p *memPeers) Members() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ids)
}

// lose and meet are a node's death and birth, as gossip tells them to everybody.
func (p *memPeers) lose(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = slices.DeleteFunc(slices.Clone(p.ids), func(other string) bool { return other == id })
}

func (p *memPeers) meet(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(slices.Clone(p.ids), id)
}

func (p *memPeers) Changed() <-chan struct{}      { return nil }
func (p *memPeers) Address(string) (string, bool) { return "", false }
func (p *memPeers) Leave(context.Context) error   { return nil }
func (p *memPeers) Close() error                  { return nil }
