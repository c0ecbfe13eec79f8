package cluster

import (
	"context"
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
type memPeers struct{ ids []string }

func (p *memPeers) Members() []string             { return append([]string(nil), p.ids...) }
func (p *memPeers) Changed() <-chan struct{}      { return nil }
func (p *memPeers) Address(string) (string, bool) { return "", false }
func (p *memPeers) Leave(context.Context) error   { return nil }
func (p *memPeers) Close() error                  { return nil }
