package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/cluster"
)

const (
	// Rounds of the disk's test, and how long all of them may take.
	syncRounds = 64
	syncBudget = 5 * time.Second
	syncBytes  = 4 << 10

	// An append that waits so long makes every write wait; with these the cluster works, but is slow, or loses its leader
	// for nothing (a follower waits 400 ms for one).
	slowMedian, slowLate = 10 * time.Millisecond, 100 * time.Millisecond
	badMedian            = 100 * time.Millisecond
)

// dataDir looks at the directory, at whose it is, and at its disk.
func (c *clinic) dataDir() []finding {
	dir := c.cfg.DataDir
	stat, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c.newDataDir()
	}
	if err != nil {
		return []finding{failure("data-dir", "make it readable to who runs the server", "%v", err)}
	}
	if !stat.IsDir() {
		return []finding{failure("data-dir", "name a directory", "%s is no directory", dir)}
	}
	found := []finding{c.dirMode(stat), c.dirOwner()}
	if m, err := readMarker(dir); err != nil || m != nil {
		remedy := "run " + healCommand(shellQuote(dir)) + " and start the server again, one node at a time"
		if m != nil {
			err = errors.New(m.Reason)
		}
		found = append(found, failure("damage", remedy, "this node took itself out of service: %v", err))
	}
	if mayWrite(dir) != nil {
		return append(found, failure("data-dir", "chown it to who runs the server", "%s may not be written to by this user", dir))
	}
	return slices.Concat(found, c.diskRoom(dir), []finding{c.syncTimes(dir)})
}

// newDataDir looks at where the server would make the directory.
func (c *clinic) newDataDir() []finding {
	parent := filepath.Dir(filepath.Clean(c.cfg.DataDir))
	for parent != filepath.Dir(parent) {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = filepath.Dir(parent)
	}
	if mayWrite(parent) != nil {
		return []finding{failure("data-dir", "make it, mode 0700, and give it to who runs the server", "%s is not there, and cannot be made in %s by this user", c.cfg.DataDir, parent)}
	}
	found := []finding{well("data-dir", "%s is not there yet: the server makes it", c.cfg.DataDir)}
	return slices.Concat(found, c.diskRoom(parent), []finding{c.syncTimes(parent)})
}

func (c *clinic) dirMode(stat fs.FileInfo) finding {
	dir := c.cfg.DataDir
	if stat.Mode().Perm()&0o077 != 0 {
		return warning("data-dir", "chmod 700 "+shellQuote(dir), "%s has mode %04o: others than its owner may look into it", dir, stat.Mode().Perm())
	}
	if uid, known := c.owner(stat); known && uid != c.uid {
		return warning("data-dir", "run the server, and doctor, as that user", "%s is owned by user %d, this is user %d", dir, uid, c.uid)
	}
	return well("data-dir", "%s is there, for its owner alone", dir)
}

// dirOwner says which node and which cluster the directory belongs to.
func (c *clinic) dirOwner() finding {
	seen, err := cluster.Examine(c.cfg.DataDir, c.cfg.NodeID, c.keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return well("identity", "the directory belongs to no node yet")
	case err != nil && seen.NodeID != "":
		return failure("identity", "give the node its own --data-dir, --node-id and --cluster-key-file: one of them is another's", "%v", err)
	case errors.Is(err, cluster.ErrIdentity):
		return failure("identity", "run "+healCommand(shellQuote(c.cfg.DataDir))+": the node gets the cluster's state again", "%v", err)
	case err != nil:
		return failure("identity", "start the release that wrote it, or wipe the directory: the node joins again", "%v", err)
	}
	return well("identity", "the directory is that of node %s, cluster key %s", seen.NodeID, seen.Key)
}

// diskRoom compares the free room with the mark below which the server gives way.
func (c *clinic) diskRoom(dir string) []finding {
	const room = "make room, or give it a bigger disk"
	free, size, err := c.space(dir)
	if err != nil {
		return []finding{warning("disk", "", "its free room: %v", err)}
	}
	const mib = 1 << 20
	var found []finding
	switch mark := c.cfg.DiskLowBytes; {
	case free < mark:
		found = append(found, failure("disk", room, "%d MiB are free, below --disk-low-bytes (%d MiB): logins are refused", free/mib, mark/mib))
	case free < 2*mark || free < size/10:
		found = append(found, warning("disk", room, "%d of %d MiB are free; below %d MiB logins are refused", free/mib, size/mib, mark/mib))
	default:
		found = append(found, well("disk", "%d of %d MiB are free", free/mib, size/mib))
	}
	if left, all, err := c.inodes(dir); err == nil && all > 0 && left < all/100 {
		found = append(found, failure("disk", "remove files: a disk without free inodes takes no new one", "%d of %d inodes are free", left, all))
	}
	return found
}

// syncTimes measures what every write waits for: a small write that is made durable.
func (c *clinic) syncTimes(dir string) finding {
	times, err := c.timeSyncs(dir)
	if err != nil {
		return failure("fsync", "the server could not keep anything on this disk", "%v", err)
	}
	slices.Sort(times)
	median, late := times[len(times)/2], times[len(times)-1-len(times)/100]
	const text = "a write of 4 KiB is durable after %s (median), %s (99th percentile of %d)"
	const remedy = "use a local SSD with power-loss protection, and nothing else that is busy on it; on a network disk raise --disk-timeout and --raft-multiplier"
	args := []any{median.Round(time.Microsecond), late.Round(time.Microsecond), len(times)}
	switch {
	case median >= badMedian || times[len(times)-1] >= c.cfg.DiskTimeout:
		return failure("fsync", remedy, text, args...)
	case median >= slowMedian || late >= slowLate:
		return warning("fsync", remedy, text, args...)
	}
	return well("fsync", text, args...)
}

func (c *clinic) timeSyncs(dir string) (times []time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	block := make([]byte, syncBytes)
	began := c.now()
	for len(times) < syncRounds && (len(times) == 0 || c.now().Sub(began) < syncBudget) {
		before := c.now()
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		if err := c.syncData(file); err != nil {
			return nil, err
		}
		times = append(times, c.now().Sub(before))
	}
	return times, nil
}
