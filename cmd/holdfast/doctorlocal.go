package main

import (
	"context"
	"io/fs"
	"os"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// clinic looks at one machine as a server with this configuration would find it. What it is told by the system can be
// replaced by a test.
type clinic struct {
	cfg Config

	now       func() time.Time
	uid       int
	syncData  func(*os.File) error
	space     func(dir string) (free, size int64, err error)
	inodes    func(dir string) (free, all uint64, err error)
	fileLimit func() (uint64, error)
	clock     func() (synchronised bool, mayBeOff time.Duration, err error)
	owner     func(fs.FileInfo) (uid int, known bool)

	// running: a node with this configuration serves already.
	running bool
	// keys are the names of the cluster keys; empty if they cannot be read.
	keys []string
}

func newClinic(cfg Config) *clinic {
	return &clinic{
		cfg: cfg, now: time.Now, uid: os.Geteuid(), syncData: syncData, space: diskSpace, inodes: inodes,
		fileLimit: openFileLimit, clock: clockState, owner: ownerOf,
	}
}

// examine looks at everything that the configuration names.
func (c *clinic) examine(ctx context.Context) []finding {
	var found []finding
	add := func(more ...finding) { found = append(found, more...) }
	add(c.configuration()...)
	add(c.clusterKey()...)
	if c.cfg.DataDir != "" {
		add(c.dataDir()...)
	}
	add(c.keysFile()...)
	add(c.certificate()...)
	add(c.logins(ctx)...)
	add(c.ports(ctx)...)
	add(c.joins(ctx)...)
	add(c.files(), c.clockKept())
	return found
}

// configuration validates all flags, if they look like a server's: doctor may also be given a few of them.
func (c *clinic) configuration() []finding {
	if c.cfg.Config == "" && c.cfg.NodeID == "" {
		return nil
	}
	err := c.cfg.Validate()
	if err == nil {
		return []finding{well("config", "the flags are without fault")}
	}
	var found []finding
	for _, fault := range faultsOf(err) {
		found = append(found, failure("config", "the server does not start with it", "%s", fault))
	}
	return found
}

// clusterKey reads the cluster key, and remembers its names.
func (c *clinic) clusterKey() []finding {
	if c.cfg.ClusterKeyFile == "" {
		return nil
	}
	keys, err := pki.ParseKeyFile(c.cfg.ClusterKeyFile)
	if err != nil {
		return []finding{failure("cluster-key", "the file must be that of the other nodes, mode 0600, owned by who runs the server", "%v", err)}
	}
	for _, key := range keys {
		c.keys = append(c.keys, key.Name())
	}
	if len(keys) > 1 {
		return []finding{warning("cluster-key", "if no rotation is under way, take the old ones out: whoever has one of them can be any node",
			"%s holds %d keys, all of them valid; the first is %s", c.cfg.ClusterKeyFile, len(keys), c.keys[0])}
	}
	return []finding{well("cluster-key", "%s is the key of cluster %s", c.cfg.ClusterKeyFile, c.keys[0])}
}

// files compares the limit of open files with what the server may be asked for: every connection is one.
func (c *clinic) files() finding {
	const own = 256 // logs, tables, peers, the scrub
	limit, err := c.fileLimit()
	if err != nil {
		return well("open-files", "the limit is %v", err)
	}
	need := uint64(max(c.cfg.MaxConns, 0) + own)
	if limit < need {
		return failure("open-files", "raise it (ulimit -n, or LimitNOFILE in the unit), or lower --max-conns",
			"%d may be open, --max-conns %d needs %d", limit, c.cfg.MaxConns, need)
	}
	return well("open-files", "as many as %d may be open from this shell, %d are needed; a service has its own limit", limit, need)
}

// clockKept asks whether something keeps the clock right. Holdfast's own promises do not need it, but logins do: a JWT
// has times.
func (c *clinic) clockKept() finding {
	synchronised, off, err := c.clock()
	switch {
	case err != nil:
		return well("clock", "whether it is kept right is %v", err)
	case !synchronised:
		return warning("clock", "run chronyd or systemd-timesyncd: login JWTs are refused by a clock that is a minute off, and logs do not line up",
			"nothing keeps this machine's clock right, as far as the kernel knows")
	default:
		return well("clock", "it is kept right, to %s", off.Round(time.Millisecond))
	}
}
