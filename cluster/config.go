package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// Roles a node may have. A reader serves reads and is never given a vote.
const (
	RoleVoter  = "voter"
	RoleReader = "reader"
)

// Config is everything that a node needs to know. Flag names equal field names.
type Config struct {
	// NodeID is stable for the life of the data: 1 to 64 of [A-Za-z0-9._-].
	NodeID string
	// DataDir holds raft.db, identity.json and the spool; see doc.go.
	DataDir string

	// ClusterAddr is where Raft and the peer RPC listen, both on one port.
	ClusterAddr string
	// AdvertiseAddr is what others dial; empty means ClusterAddr.
	AdvertiseAddr string
	// GossipAddr is where memberlist listens, TCP and UDP.
	GossipAddr string
	// GossipAdvertiseAddr is what others gossip to; empty means GossipAddr.
	GossipAdvertiseAddr string
	// Join are gossip addresses of other nodes, tried again and again.
	Join []string
	// BootstrapExpect is the number of nodes that start a new cluster together;
	// 0 means that this node only ever joins one.
	BootstrapExpect int
	// KeyFile holds the cluster key, or several of them.
	KeyFile string

	// HTTPAddr, Zone, Role and Version are told to other nodes, for Status. Role
	// also decides whether the node is ever given a vote.
	HTTPAddr, Zone, Role, Version string
	// PolicyDigest is told too: of the flags that every node should have alike.
	PolicyDigest string
	// KeysDigest is told too, as it is when somebody asks; nil tells none.
	KeysDigest func() string
	// Disk is told as well: bytes that are free on the data directory's disk, and
	// its size. Nil: not known.
	Disk func() (free, size int64)
	// OnDrain is called, once at most and by no goroutine that may wait, when an
	// operator asks through another node that this one drain and end. Nil: it
	// cannot be asked.
	OnDrain func()

	// MaxStaleness is how long a freshness answer is good for. Default 5 s.
	MaxStaleness time.Duration
	// RequestTimeout bounds Propose and Read calls whose context has no
	// deadline. Default 5 s.
	RequestTimeout time.Duration
	// RaftMultiplier scales every timing for slow networks, 1 to 20. Default 1.
	RaftMultiplier int
	// DiskTimeout is how long a disk operation may take before the node ends
	// itself. Default 5 s.
	DiskTimeout time.Duration
	// StableTime is how long a new node must have kept up before it is given a
	// vote. Default 2 s.
	StableTime time.Duration
	// ClusterSize is how many voters there are meant to be: a dead one is removed
	// only while more are left. Default BootstrapExpect, or 3.
	ClusterSize int
	// DeadServerAfter is how long a member must have been silent before it is
	// removed, one at a time. Default 24 h; negative removes none.
	DeadServerAfter time.Duration

	// SnapshotBytes of new log make the table flush and the log shrink. Default 64 MiB.
	SnapshotBytes int64
	// TrailingBytes and TrailingEntries bound the log that is kept behind that,
	// for followers that lag. Defaults 64 MiB and 10240.
	TrailingBytes   int64
	TrailingEntries int
	// LogCacheBytes bounds the log entries kept in memory. Default 16 MiB.
	LogCacheBytes int64

	// Walk inspects raft.db before it is opened; nil inspects nothing.
	Walk Walk

	Logger *slog.Logger
	// Metrics receives this node's own series; nil keeps them private. See also
	// InstallMetrics.
	Metrics prometheus.Registerer
	// Tracer takes spans; nil traces nothing.
	Tracer Tracer

	// The rest is nil in production and injected by tests.

	Network Network
	Peers   Peers
	Logs    raft.LogStore
	Stable  raft.StableStore
	// Wall is the node's wall clock. It only ever enters the median that moves
	// the log's clock.
	Wall func() time.Time
}

// Network is how nodes reach each other, by id. Connections are authenticated:
// those that Listen hands out have a method PeerID() string, and Dial fails
// unless the other end is the node asked for.
type Network interface {
	Listen(protocol string) (net.Listener, error)
	Dial(ctx context.Context, id, protocol string) (net.Conn, error)
	Close() error
}

// Peers is who is there according to gossip. It is advice, never truth: the Raft
// configuration decides.
type Peers interface {
	// Members are the ids of the live nodes, this one included.
	Members() []string
	// Changed receives after the members have changed.
	Changed() <-chan struct{}
	// Address is where id's cluster port was last heard of.
	Address(id string) (string, bool)
	// Leave tells the others that this node stops on purpose.
	Leave(ctx context.Context) error
	Close() error
}

var nodeIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	setBytes := func(n *int64, value int64) {
		if *n == 0 {
			*n = value
		}
	}
	set(&c.MaxStaleness, 5*time.Second)
	set(&c.RequestTimeout, 5*time.Second)
	set(&c.DiskTimeout, 5*time.Second)
	set(&c.StableTime, 2*time.Second)
	set(&c.DeadServerAfter, 24*time.Hour)
	if c.ClusterSize == 0 {
		c.ClusterSize = max(3, c.BootstrapExpect)
	}
	setBytes(&c.SnapshotBytes, 64<<20)
	setBytes(&c.TrailingBytes, 64<<20)
	setBytes(&c.LogCacheBytes, 16<<20)
	if c.TrailingEntries == 0 {
		c.TrailingEntries = 10240
	}
	if c.RaftMultiplier == 0 {
		c.RaftMultiplier = 1
	}
	if c.Role == "" {
		c.Role = RoleVoter
	}
	if c.AdvertiseAddr == "" {
		c.AdvertiseAddr = c.ClusterAddr
	}
	if c.KeysDigest == nil {
		c.KeysDigest = func() string { return "" }
	}
	if c.Disk == nil {
		c.Disk = func() (int64, int64) { return 0, 0 }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	return c
}

// Validate names every fault at once. Zero values that have a default are none.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !nodeIDPattern.MatchString(c.NodeID) {
		fault("node-id %q: want 1 to 64 letters, digits, dots, dashes or underscores", c.NodeID)
	}
	if c.DataDir == "" {
		fault("data-dir is required")
	}
	if c.Network == nil {
		for _, a := range []struct{ flag, addr string }{
			{"cluster-addr", c.ClusterAddr},
			{"advertise-addr", c.AdvertiseAddr},
			{"gossip-addr", c.GossipAddr},
		} {
			if _, _, err := net.SplitHostPort(a.addr); err != nil {
				fault("%s %q: want HOST:PORT", a.flag, a.addr)
			}
		}
		for _, addr := range c.Join {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				fault("join %q: want HOST:PORT", addr)
			}
		}
		if c.KeyFile == "" {
			fault("cluster-key-file is required")
		}
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > 15 {
		fault("bootstrap-expect %d: want 0 to 15", c.BootstrapExpect)
	}
	if c.ClusterSize < 1 || c.ClusterSize > 15 {
		fault("cluster-size %d: want 1 to 15", c.ClusterSize)
	}
	if c.DeadServerAfter > 0 && c.DeadServerAfter < time.Minute {
		fault("dead-server-after %s: want at least 1m, or less than 0 for never", c.DeadServerAfter)
	}
	if c.Role != RoleVoter && c.Role != RoleReader {
		fault("role %q: want %s or %s", c.Role, RoleVoter, RoleReader)
	}
	if c.RaftMultiplier < 1 || c.RaftMultiplier > 20 {
		fault("raft-multiplier %d: want 1 to 20", c.RaftMultiplier)
	}
	// A staleness below a few rounds and an election would make every failover
	// an outage of reads, and the promise useless.
	if least := time.Second * time.Duration(c.RaftMultiplier); c.MaxStaleness < least {
		fault("max-staleness %s: want at least %s", c.MaxStaleness, least)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"request-timeout", c.RequestTimeout},
		{"disk-timeout", c.DiskTimeout},
		{"stable-time", c.StableTime},
	} {
		if d.value < 100*time.Millisecond {
			fault("%s %s: want at least 100ms", d.flag, d.value)
		}
	}
	if c.SnapshotBytes < 0 || c.TrailingBytes < 0 || c.LogCacheBytes < 0 || c.TrailingEntries < 0 {
		fault("log bounds must not be negative")
	}
	return errors.Join(faults...)
}

// scaled is a timing of the LAN default times the operator's multiplier.
func (c Config) scaled(d time.Duration) time.Duration {
	return d * time.Duration(c.RaftMultiplier)
}

// raftConfig is the library's configuration. heartbeat 400 ms with pre-vote was
// measured: outages after kill -9 of p50 0.60 s at 300 ms against 1.87 s with
// the library's defaults.
func (c Config) raftConfig(notify chan<- bool) *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.NodeID)
	r.HeartbeatTimeout = c.scaled(400 * time.Millisecond)
	r.ElectionTimeout = c.scaled(400 * time.Millisecond)
	r.LeaderLeaseTimeout = c.scaled(300 * time.Millisecond)
	// The library's 50 ms left followers 90 ms behind an isolated write.
	r.CommitTimeout = 10 * time.Millisecond
	// Entries are packed up to 128 KiB: 16 of them are an append of 2 MiB.
	r.MaxAppendEntries = 16
	r.TrailingLogs = uint64(c.TrailingEntries)
	// Counting entries is only the second line: compactor counts bytes.
	r.SnapshotThreshold = 8192
	r.SnapshotInterval = 30 * time.Second
	// A removed node keeps its process: it learns of it by asking, says so, and
	// stops serving in an orderly way.
	r.ShutdownOnRemove = false
	r.NoSnapshotRestoreOnStart = true
	r.NoLegacyTelemetry = true
	r.NotifyCh = notify
	r.Logger = newRaftLogger(c.Logger)
	return r
}
