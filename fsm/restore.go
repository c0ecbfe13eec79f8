package fsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
)

const (
	// restoreChunkBytes is about what a chunk holds: as much as a log entry has
	// where commands are packed.
	restoreChunkBytes = 100 << 10
	// restoreChunkItems keeps a chunk's array within what a decoder takes.
	restoreChunkItems = maxElements
	// restoreInFlight is how many chunks are proposed at a time. Others' commands
	// stand in the same queue.
	restoreInFlight = 4
	// restoreTries is how often a chunk that found no leader is proposed, with
	// restorePause between: over a minute in all.
	restoreTries = 60
	restorePause = time.Second
)

// restoreModes are the values of the parameter sessions, and what they mean.
var restoreModes = map[string]restoreMode{"": restoreData, "all": restoreAll, "none": restoreNone}

// Restored says what a restore did with the archive's sessions.
type Restored struct {
	Restored  uint64 // they have the archive's data now
	Dead      uint64 // left out: not alive now, or not wanted
	Unchanged uint64 // they have had the archive's data already
	Index     session.Index
}

// Restore applies a saved archive to the cluster; keep is "all" or "none" for one
// that has never had a session, and empty for any other. The archive is read whole
// before any of it is applied; a fault of it is session.ErrInvalidRequest. Where
// ctx ends before the restore does, the same call goes on from there.
func (s *Sessions) Restore(ctx context.Context, archive io.ReadSeeker, keep string) (Restored, error) {
	mode, ok := restoreModes[keep]
	if !ok {
		return Restored{}, session.ErrInvalidRequest.With("the parameter sessions must be all or none")
	}
	reached, err := s.reach(ctx, cmdRestore.level())
	if err != nil {
		return Restored{}, err
	}
	if reached < cmdRestore.level() {
		return Restored{}, session.ErrInvalidRequest.With(
			"the cluster is at feature level %d, and a restore needs %d: every member must run a release that knows it", reached, cmdRestore.level())
	}
	held, err := ReadArchive(ctx, archive, nil)
	if err != nil {
		return Restored{}, archiveFault(err)
	}
	r := restorer{s: s, mode: mode, id: restoreID(held.Checksum)}
	at, err := r.begin(ctx)
	if err == nil && !at.done {
		if _, err = archive.Seek(0, io.SeekStart); err == nil {
			err = r.apply(ctx, archive, at.size, at.low)
		}
		if err == nil {
			at, err = r.end(ctx)
		}
	}
	if err != nil {
		return Restored{}, err
	}
	done := Restored{
		Restored: at.applied.restored, Dead: at.applied.dead, Unchanged: at.applied.unchanged,
		Index: session.Index{Cluster: s.machine.Public(), Index: at.index},
	}
	if mode == restoreNone {
		done.Dead = held.Sessions
	}
	return done, nil
}

// archiveFault tells what is wrong with an archive from a node's own trouble.
func archiveFault(err error) error {
	for _, fault := range []error{snapshot.ErrDamaged, snapshot.ErrForeign, snapshot.ErrNewer, ErrArchiveKind} {
		if errors.Is(err, fault) {
			return session.ErrInvalidRequest.With("nothing was changed: %v", err)
		}
	}
	return err
}

// restorer proposes one restore.
type restorer struct {
	s    *Sessions
	mode restoreMode
	id   restoreID

	chunks uint64
}

// begin begins the restore, or finds it under way, and says how far it is.
func (r *restorer) begin(ctx context.Context) (restoring, error) {
	p, err := r.propose(ctx, cmdRestore, restoreBeginBody{ID: r.id, Mode: uint8(r.mode), Size: restoreChunkBytes})
	if err != nil {
		return restoring{}, err
	}
	return r.look(ctx, p.index)
}

// look reads how far the restore was at an index, or later.
func (r *restorer) look(ctx context.Context, index uint64) (at restoring, err error) {
	err = persist(ctx, func() error {
		_, err := r.s.log.Read(ctx, index, false)
		return AsSession(err)
	})
	if err != nil {
		return at, err
	}
	raw, ok, _, err := r.s.machine.look(metaRestoreKey)
	if err != nil {
		return at, err
	}
	if ok {
		at, err = decodeRestoring(raw)
	}
	if err == nil && at.id != r.id {
		err = errOtherRestore
	}
	return at, err
}

// apply proposes the chunks from the first that has not been applied on. Sessions
// all come before anything else: whether one may come back is decided by what the
// cluster itself remembers of its user.
func (r *restorer) apply(ctx context.Context, archive io.Reader, size, from uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var flying sync.WaitGroup
	seats := make(chan struct{}, restoreInFlight)
	send := func(pairs [][]byte) error {
		number := r.chunks
		r.chunks++
		if number < from {
			return nil
		}
		select {
		case seats <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		flying.Go(func() {
			defer func() { <-seats }()
			body := restoreChunkBody{ID: r.id, Number: number, Pairs: pairs}
			if _, err := r.propose(ctx, cmdRestoring, body); err != nil {
				cancel(err)
			}
		})
		return nil
	}
	cut := cutter{size: size, sessions: r.mode != restoreNone, send: send, settle: func() error {
		flying.Wait()
		return context.Cause(ctx)
	}}
	_, err := ReadArchive(ctx, archive, cut.pair)
	if err == nil {
		err = cut.end()
	}
	if err != nil {
		cancel(err) // unless a chunk has failed before
	}
	flying.Wait()
	return context.Cause(ctx)
}

// end ends the restore under a name that no index has had.
func (r *restorer) end(ctx context.Context) (restoring, error) {
	var raw [8]byte
	for binary.BigEndian.Uint64(raw[:]) == 0 {
		if _, err := io.ReadFull(r.s.cfg.Rand, raw[:]); err != nil {
			return restoring{}, fmt.Errorf("draw a cluster id: %w", err)
		}
	}
	p, err := r.propose(ctx, cmdRestored, restoreEndBody{ID: r.id, Chunks: r.chunks, Cluster: binary.BigEndian.Uint64(raw[:])})
	if err != nil {
		return restoring{}, err
	}
	return r.look(ctx, p.index)
}

// propose commits a command in spite of elections: each of a restore may come
// twice.
func (r *restorer) propose(ctx context.Context, what commandType, body any) (p reply, err error) {
	err = persist(ctx, func() error {
		p, err = r.s.propose(ctx, envelope{Type: what}, body)
		return err
	})
	return p, err
}

// persist tries again where the cluster cannot answer at the moment, for a minute
// at most.
func persist(ctx context.Context, try func() error) (err error) {
	for range restoreTries {
		err = try()
		switch session.CodeOf(err) {
		case session.CodeNoLeader, session.CodeOverloaded, session.CodeOutcomeUnknown, session.CodeStaleNode:
		default:
			return err
		}
		pause := time.NewTimer(restorePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
	return err
}

// cutter makes chunks of an archive's pairs: the same ones whenever it is cut by
// the same size.
type cutter struct {
	size     uint64
	sessions bool
	send     func(pairs [][]byte) error
	settle   func() error // waits until all that was sent has been applied

	pairs [][]byte
	bytes uint64
	kind  byte // of the last pair
}

func (c *cutter) pair(key, value []byte) error {
	switch key[0] {
	case prefixSession:
		if !c.sessions {
			return nil
		}
	case prefixAccount:
		if a, err := decodeAccount(value); err != nil || a.until == 0 {
			return err
		}
	case prefixIdempotency:
	default:
		return nil
	}
	if c.kind == prefixSession && key[0] != prefixSession {
		if err := c.end(); err != nil {
			return err
		}
		if err := c.settle(); err != nil {
			return err
		}
	}
	c.kind = key[0]
	more := uint64(len(key) + len(value))
	if len(c.pairs) > 0 && (c.bytes+more > c.size || len(c.pairs) == restoreChunkItems) {
		if err := c.end(); err != nil {
			return err
		}
	}
	c.pairs = append(c.pairs, bytes.Clone(key), bytes.Clone(value))
	c.bytes += more
	return nil
}

// end sends what there is.
func (c *cutter) end() error {
	if len(c.pairs) == 0 {
		return nil
	}
	pairs := c.pairs
	c.pairs, c.bytes = nil, 0
	return c.send(pairs)
}
