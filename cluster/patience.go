package cluster

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// reachInterval is how often a leader tries a peer that does not answer.
	reachInterval = 50 * time.Millisecond
	// archivePatience bounds the wait for a peer that is to be sent an archive:
	// the archive grows old meanwhile.
	archivePatience = 30 * time.Second
)

// AppendEntries keeps trying for as long as this node leads the call's term and
// the peer is configured. The library backs off to ten seconds between two
// attempts once a peer has been away for a while, and forgets that only at a
// success: a node that was restarted would not hear of anything for that long.
// Heartbeats go through as they are; the lease depends on their failing.
func (g *guard) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	if heartbeat(args) {
		return g.NetworkTransport.AppendEntries(id, target, args, resp)
	}
	for {
		err := g.appendOnce(id, target, args, resp)
		if err == nil || !g.worthwhile(id, args.Term) || !g.rest() {
			return err
		}
		*resp = raft.AppendEntriesResponse{}
	}
}

func (g *guard) appendOnce(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	if len(args.Entries) > 0 {
		return g.ahead.append(id, target, args, resp)
	}
	return g.NetworkTransport.AppendEntries(id, target, args, resp)
}

// InstallSnapshot waits until the peer can be reached at all, for the same reason.
func (g *guard) InstallSnapshot(id raft.ServerID, target raft.ServerAddress,
	args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	limit := time.Now().Add(archivePatience)
	for !g.reachable(id) && g.worthwhile(id, args.Term) && time.Now().Before(limit) && g.rest() {
	}
	return g.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// heartbeat tells as the library does.
func heartbeat(args *raft.AppendEntriesRequest) bool {
	return args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0
}

func (g *guard) reachable(id raft.ServerID) bool {
	ctx, cancel := context.WithTimeout(g.stream.ctx, time.Second)
	defer cancel()
	conn, err := g.stream.network.Dial(ctx, string(id), raftProtocol)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// worthwhile: this node still leads that term, and the peer is still in its
// configuration.
func (g *guard) worthwhile(id raft.ServerID, term uint64) bool {
	r := g.raft.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	f := r.GetConfiguration()
	return f.Error() == nil && slices.ContainsFunc(f.Configuration().Servers, func(s raft.Server) bool { return s.ID == id })
}

// rest waits between two attempts; false means that the transport is closing.
func (g *guard) rest() bool {
	timer := time.NewTimer(reachInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.stop:
		return false
	}
}
