package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// maxArchives is how many archives a node makes or sends at a time: each takes a processor, and room on the disk.
const maxArchives = 2

// archives makes archives of the whole state. Each goes to a file first: to make one pins the table's pages, which a slow
// reader would do for as long as he likes, while the table's file grows.
type archives struct {
	save     func(ctx context.Context, w io.Writer) (session.Index, error)
	sessions *fsm.Sessions
	table    *storage.Table
	dir      string // the node's data directory
	keepFree int64  // bytes that stay free on its disk
	slots    chan struct{}
	restores chan struct{} // room for one
	log      *slog.Logger
}

func (s *Server) newArchives() *archives {
	return &archives{
		save: s.saveState, sessions: s.sessions, table: s.table, dir: s.cfg.DataDir, keepFree: s.cfg.DiskLowBytes,
		slots: make(chan struct{}, maxArchives), restores: make(chan struct{}, 1), log: s.log.With("component", "archives"),
	}
}

// saveState writes an archive. To make one all is read, as in a scrub: what is found wrong ends this node.
func (s *Server) saveState(ctx context.Context, w io.Writer) (session.Index, error) {
	at, err := s.sessions.Save(ctx, w)
	if errors.Is(err, fsm.ErrStateHash) || errors.Is(err, storage.ErrCorrupt) {
		s.fail(err)
	}
	return at, err
}

// Save implements api.Archives.
func (a *archives) Save(ctx context.Context) (api.Archive, error) {
	select {
	case a.slots <- struct{}{}:
	default:
		return api.Archive{}, session.ErrOverloaded.With("%d archives are being made or sent here: try again when one is done, or ask another node", maxArchives)
	}
	kept := &spooled{slots: a.slots}
	err := a.fill(ctx, kept)
	if err != nil {
		return api.Archive{}, errors.Join(err, kept.Close())
	}
	return api.Archive{ReadCloser: kept, Size: kept.size, Name: archiveName(kept.index), Index: kept.index}, nil
}

// Restore implements api.Archives.
func (a *archives) Restore(ctx context.Context, archive io.Reader, sessions string) (api.Restored, error) {
	select {
	case a.restores <- struct{}{}:
		defer func() { <-a.restores }()
	default:
		return api.Restored{}, session.ErrOverloaded.With("a restore is under way on this node: wait until it has ended")
	}
	spool := a.spool()
	file, err := unnamedFile(spool)
	if err != nil {
		return api.Restored{}, err
	}
	defer file.Close()
	size, err := io.Copy(&measured{to: file, dir: spool, keepFree: a.keepFree}, archive)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return api.Restored{}, err
	}
	a.log.Info("restore begins", "archive_bytes", size, "sessions", sessions)
	done, err := a.sessions.Restore(ctx, file, sessions)
	switch {
	case err != nil && ctx.Err() != nil:
		err = session.ErrOutcomeUnknown.With("this node stops, and the restore has not ended: send the same archive again, to another node, and it goes on from there")
	case err != nil:
		a.log.Warn("restore failed", "error", err)
	default:
		a.log.Info("restore ended", "restored", done.Restored, "skipped_dead", done.Dead, "unchanged", done.Unchanged, "index", done.Index.String())
	}
	return api.Restored{Restored: done.Restored, SkippedDead: done.Dead, Unchanged: done.Unchanged, Index: done.Index}, err
}

func (a *archives) spool() string { return filepath.Join(a.dir, "spool") }

// archiveName is what an archive is called where nobody gives it a name.
func archiveName(at session.Index) string {
	return fmt.Sprintf("holdfast-%016x-%d.archive", at.Cluster, at.Index)
}

func (a *archives) fill(ctx context.Context, kept *spooled) (err error) {
	spool := a.spool()
	if err := a.room(spool); err != nil {
		return err
	}
	if kept.File, err = unnamedFile(spool); err != nil {
		return err
	}
	if kept.index, err = a.save(ctx, &measured{to: kept.File, dir: spool, keepFree: a.keepFree}); err != nil {
		return err
	}
	if kept.size, err = kept.Seek(0, io.SeekEnd); err == nil {
		_, err = kept.Seek(0, io.SeekStart)
	}
	return err
}

// room refuses an archive that the disk of dir could not hold, as far as can be told before.
func (a *archives) room(dir string) error {
	figures := a.table.Stats()
	used := figures.FileBytes - int64(figures.FreePages)*int64(os.Getpagesize())
	return enoughRoom(dir, a.keepFree, used/2) // it has no indexes, and is compressed
}

// enoughRoom says, with session.ErrDiskLow, that a disk has not so many bytes beside those that must stay free.
func enoughRoom(dir string, keepFree, wanted int64) error {
	free, err := freeBytes(dir)
	if errors.Is(err, errNoDiskFigure) {
		return nil
	}
	if err == nil && free-keepFree < wanted {
		err = session.ErrDiskLow.With("an archive may need %d MiB, and the disk of this node has %d MiB free, %d MiB of which must stay free",
			wanted>>20, free>>20, keepFree>>20)
	}
	return err
}

// spooled is an archive in a file without a name. It gives its place back when it is closed.
type spooled struct {
	*os.File
	size  int64
	index session.Index
	slots chan struct{}
}

// Close is to be called once.
func (s *spooled) Close() error {
	defer func() { <-s.slots }()
	if s.File == nil {
		return nil
	}
	return s.File.Close()
}

// unnamedFile is gone when it is closed, also by a crash.
func unnamedFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "archive-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// measuredPiece is how much is written between two looks at the free space.
const measuredPiece = 16 << 20

// measured stops writing before the disk is full: a node that makes an archive must not fail for it.
type measured struct {
	to       io.Writer
	dir      string
	keepFree int64
	left     int64 // until the next look
}

// Write implements io.Writer.
func (m *measured) Write(p []byte) (int, error) {
	if m.left -= int64(len(p)); m.left <= 0 {
		if err := enoughRoom(m.dir, m.keepFree, measuredPiece); err != nil {
			return 0, err
		}
		m.left = measuredPiece
	}
	return m.to.Write(p)
}
