package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast/cluster/gossip"
	"github.com/holdfastdb/holdfast/cluster/pki"
	"github.com/holdfastdb/holdfast/cluster/wire"
)

// openNetwork makes the directory this node's and opens the cluster port.
func (n *Node) openNetwork() error {
	if n.cfg.Network != nil {
		n.network = n.cfg.Network
		if n.cfg.KeyFile != "" {
			return n.openKeys()
		}
		_, err := n.claim([]string{""})
		return err
	}
	if err := n.openKeys(); err != nil {
		return err
	}
	authority, err := pki.New(n.cfg.NodeID, n.keyring.state.Load().keys, n.cfg.Wall)
	if err != nil {
		return fmt.Errorf("cluster certificates: %w", err)
	}
	n.authority.Store(authority)
	mux, err := wire.OpenMux(wire.MuxConfig{
		Addr: n.cfg.ClusterAddr, Authority: authority, Resolve: n.resolve, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("cluster port: %w", err)
	}
	n.network, n.mux = mux, mux
	n.cfg.AdvertiseAddr = chosenPort(n.cfg.AdvertiseAddr, mux.Addr())
	return nil
}

// chosenPort replaces port 0 by the one that the system chose.
func chosenPort(advertised string, bound net.Addr) string {
	host, port, err := net.SplitHostPort(advertised)
	if err != nil || port != "0" {
		return advertised
	}
	if _, chosen, err := net.SplitHostPort(bound.String()); err == nil {
		return net.JoinHostPort(host, chosen)
	}
	return advertised
}

// resolve finds where a node's cluster port is; gossip opens after the port.
func (n *Node) resolve(id string) (addr string, ok bool) {
	if peers := n.pool.Load(); peers != nil {
		return peers.Address(id)
	}
	return "", false
}

func (n *Node) openPeers() error {
	if n.cfg.Peers != nil {
		n.peers = n.cfg.Peers
		return nil
	}
	_, known := n.machine.Level()
	pool, err := gossip.Open(gossip.Config{
		NodeID: n.cfg.NodeID, BindAddr: n.cfg.GossipAddr, AdvertiseAddr: n.cfg.GossipAdvertiseAddr, Join: n.cfg.Join, Keys: gossipKeys(n.keyring.state.Load().keys),
		Meta:      gossip.Meta{ID: n.cfg.NodeID, Cluster: n.machine.Cluster(), ClusterAddr: n.cfg.AdvertiseAddr, Feature: known},
		PeersFile: filepath.Join(n.cfg.DataDir, PeersFile),
		Logger:    n.log,
	})
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	n.peers = gossipPeers{pool}
	n.pool.Store(pool)
	return nil
}

// gossipPeers is a gossip.Pool as this package sees it.
type gossipPeers struct{ *gossip.Pool }

func (p gossipPeers) Members() []string {
	members := p.Pool.Members()
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	return ids
}

func (p gossipPeers) Leave(ctx context.Context) error {
	timeout := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	return p.Pool.Leave(timeout)
}

// peerRPC is both ends of the peer RPC.
type peerRPC struct {
	*wire.Client
	server *wire.Server
}

func (n *Node) openRPC() (rpc, error) {
	server, err := wire.OpenServer(n.network, peerProtocol, n.serve, wire.ServerOptions{Logger: n.log})
	if err != nil {
		return nil, err
	}
	client := wire.NewClient(n.network, peerProtocol, wire.ClientOptions{
		DialTimeout: n.cfg.scaled(2 * time.Second), Logger: n.log,
	})
	return peerRPC{Client: client, server: server}, nil
}

func (p peerRPC) Close() error { return errors.Join(p.Client.Close(), p.server.Close()) }

// notSent tells a call that certainly reached nobody from one that may have.
func notSent(err error) bool { return errors.Is(err, wire.ErrNotSent) }
