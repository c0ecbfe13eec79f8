package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultLabel marks packets as ours. It does not depend on the cluster key: a
// label cannot change while a node runs, and keys do.
const DefaultLabel = "holdfast/1"

// Config of a Pool.
type Config struct {
	// NodeID is this node's name; Meta.ID may be left empty.
	NodeID string
	// BindAddr is HOST:PORT to listen on, TCP and UDP; port 0 means any.
	BindAddr string
	// AdvertiseAddr is what others are told to dial, HOST:PORT. Empty means
	// BindAddr, with an address of an interface if its host is unspecified.
	AdvertiseAddr string
	// Join are gossip addresses of other nodes, HOST:PORT.
	Join []string
	// Keys encrypt gossip. The first is used to send, all are accepted.
	Keys [][32]byte
	// Meta is what the others are told about this node.
	Meta Meta
	// PeersFile remembers addresses; empty means that they are forgotten.
	PeersFile string
	// RejoinInterval is how often known nodes that are not there are tried.
	// Default 10 s; every second while none is there.
	RejoinInterval time.Duration
	// Label has to be the same on all nodes. Default DefaultLabel.
	Label  string
	Logger *slog.Logger

	// tune changes timings, in tests.
	tune func(*memberlist.Config)
}

func (c Config) withDefaults() Config {
	if c.RejoinInterval == 0 {
		c.RejoinInterval = 10 * time.Second
	}
	if c.Label == "" {
		c.Label = DefaultLabel
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Meta.ID == "" {
		c.Meta.ID = c.NodeID
	}
	return c
}

// Validate names every fault at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.NodeID == "" {
		fault("node id is empty")
	}
	if c.Meta.ID != c.NodeID {
		fault("metadata are of node %q, this is %q", c.Meta.ID, c.NodeID)
	}
	if _, err := c.Meta.encode(); err != nil {
		faults = append(faults, err)
	}
	for _, a := range []struct{ what, addr string }{{"gossip address", c.BindAddr}, {"gossip advertise address", c.AdvertiseAddr}} {
		if a.what != "gossip address" && a.addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			fault("%s %q: want HOST:PORT", a.what, a.addr)
		}
	}
	for _, addr := range c.Join {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			fault("join %q: want HOST:PORT", addr)
		}
	}
	if len(c.Keys) == 0 {
		fault("no gossip key: gossip is never plaintext")
	}
	if len(c.Label) > memberlist.LabelMaxSize {
		fault("label of %d bytes, at most %d fit", len(c.Label), memberlist.LabelMaxSize)
	}
	if c.RejoinInterval < 0 {
		fault("rejoin interval %s is negative", c.RejoinInterval)
	}
	return errors.Join(faults...)
}

// settings are memberlist's own, for a LAN. A dead node is noticed within about
// five seconds.
func (c Config) settings() *memberlist.Config {
	s := memberlist.DefaultLANConfig()
	s.Name = c.NodeID
	s.Label = c.Label
	s.GossipVerifyIncoming = true
	s.GossipVerifyOutgoing = true
	s.RequireNodeNames = false
	s.MsgpackUseNewTimeFormat = true
	// Quick enough on loopback, little enough on a network.
	s.GossipInterval = 100 * time.Millisecond
	s.PushPullInterval = 10 * time.Second
	s.TCPTimeout = 3 * time.Second
	// A node that restarts under a new address takes its name back as soon as
	// the old address is found dead.
	s.DeadNodeReclaimTime = time.Second
	if c.tune != nil {
		c.tune(s)
	}
	return s
}
