package cluster

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// runCompactor keeps the log within its bounds in bytes. The library counts
// entries, of which one may be 100 bytes or 128 KiB; so this translates bytes
// into entries as they are now, and starts a snapshot (a flush of the table,
// for us) when enough has been written.
func (n *Node) runCompactor(r *raft.Raft) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var done int64
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		n.boundTrailing(r)
		written := n.logCache.written()
		if written-done < n.cfg.SnapshotBytes {
			continue
		}
		done = written
		err := n.await(r.Snapshot())
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
			n.log.Warn("could not compact the log", "error", err)
		}
	}
}

// boundTrailing sets how many entries the next compaction leaves behind.
func (n *Node) boundTrailing(r *raft.Raft) {
	trailing := uint64(max(1, n.logCache.tail(n.cfg.TrailingBytes, n.cfg.TrailingEntries)))
	config := r.ReloadableConfig()
	if config.TrailingLogs == trailing {
		return
	}
	config.TrailingLogs = trailing
	if err := r.ReloadConfig(config); err != nil {
		n.log.Warn("could not bound the trailing log", "error", err)
	}
}
