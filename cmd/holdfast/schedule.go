package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// minSchedule is the shortest time between two archives.
	minSchedule = time.Minute
	// scheduleRetry is how soon an archive that failed is tried again.
	scheduleRetry = time.Minute
	// partKept is how old an unfinished archive must be to be one that a crash left.
	partKept = 24 * time.Hour
)

// schedule writes an archive every so often into a directory, and removes the oldest. What counts is the age of the newest
// archive there, not how long this process has run: a restart neither skips one nor makes two.
type schedule struct {
	dir   string
	every time.Duration
	keep  int
	save  func(ctx context.Context, w io.Writer) (session.Index, error)
	// cluster is this cluster's name: only its own archives are ever removed, and those of before a restore are kept.
	cluster func() uint64
	log     *slog.Logger

	last  atomic.Pointer[scheduled]
	made  atomic.Uint64
	fails atomic.Uint64
}

// scheduled is the last archive that was made.
type scheduled struct {
	at    time.Time
	bytes int64
	took  time.Duration
}

// run writes archives until ctx ends.
func (s *schedule) run(ctx context.Context) {
	wait := s.due(time.Now())
	for pause(ctx, wait) {
		switch err := s.write(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.fails.Add(1)
			s.log.Error("a scheduled archive failed", "dir", s.dir, "error", err)
			wait = min(s.every, scheduleRetry)
		default:
			wait = s.due(time.Now())
		}
	}
}

// due is how long it is until the next archive. A clock that was set back must not make it longer than an interval.
func (s *schedule) due(now time.Time) time.Duration {
	kept, err := s.archives()
	if err != nil || len(kept) == 0 {
		return 0 // write says what is wrong with the directory
	}
	if s.last.Load() == nil {
		s.last.Store(&scheduled{at: kept[0].at, bytes: kept[0].bytes})
	}
	return max(0, min(s.every, kept[0].at.Add(s.every).Sub(now)))
}

// write makes one archive, and then removes those beyond keep.
func (s *schedule) write(ctx context.Context) error {
	s.sweepParts()
	began := time.Now()
	part, err := os.CreateTemp(s.dir, partPrefix+"*"+partSuffix) // mode 0600
	if err != nil {
		return err
	}
	at, err := s.save(ctx, part)
	if err == nil {
		err = part.Sync()
	}
	size, sizeErr := part.Seek(0, io.SeekCurrent)
	err = errors.Join(err, sizeErr, part.Close())
	path := filepath.Join(s.dir, scheduledName(at, began))
	if err == nil {
		err = promotePart(part.Name(), path)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(part.Name()))
	}
	s.made.Add(1)
	s.last.Store(&scheduled{at: began, bytes: size, took: time.Since(began)})
	s.log.Info("archive written", "file", path, "index", at.String(), "bytes", size, "took", time.Since(began).String())
	return s.retain()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

const (
	partPrefix   = "holdfast-unfinished-"
	scheduleTime = "20060102T150405Z"
)

var scheduledPattern = regexp.MustCompile(`^holdfast-([0-9a-f]{16})-([0-9]{1,20})-([0-9]{8}T[0-9]{6}Z)\.archive$`)

func scheduledName(at session.Index, made time.Time) string {
	return strings.TrimSuffix(archiveName(at), ".archive") + "-" + made.UTC().Format(scheduleTime) + ".archive"
}

// keptArchive is a file that has such a name.
type keptArchive struct {
	name  string
	at    time.Time
	index uint64
	bytes int64
}

// archives lists this cluster's archives, the newest first.
func (s *schedule) archives() ([]keptArchive, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var kept []keptArchive
	own := fmt.Sprintf("%016x", s.cluster())
	for _, entry := range entries {
		parts := scheduledPattern.FindStringSubmatch(entry.Name())
		if parts == nil || parts[1] != own || !entry.Type().IsRegular() {
			continue
		}
		index, indexErr := strconv.ParseUint(parts[2], 10, 64)
		at, timeErr := time.Parse(scheduleTime, parts[3])
		info, infoErr := entry.Info()
		if indexErr == nil && timeErr == nil && infoErr == nil { // else it is no archive, or gone already
			kept = append(kept, keptArchive{entry.Name(), at, index, info.Size()})
		}
	}
	slices.SortFunc(kept, func(a, b keptArchive) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.index, a.index))
	})
	return kept, nil
}

// retain removes the oldest archives beyond keep.
func (s *schedule) retain() error {
	kept, err := s.archives()
	for _, old := range kept[min(len(kept), s.keep):] {
		err = errors.Join(err, removeIfThere(filepath.Join(s.dir, old.name)))
	}
	return err
}

// sweepParts removes what crashes have left.
func (s *schedule) sweepParts() {
	names, _ := filepath.Glob(filepath.Join(s.dir, partPrefix+"*"+partSuffix)) // the pattern is well-formed
	for _, name := range names {
		stat, err := os.Lstat(name)
		if err != nil || !stat.Mode().IsRegular() || time.Since(stat.ModTime()) < partKept {
			continue
		}
		if err := removeIfThere(name); err != nil {
			s.log.Warn("an unfinished archive could not be removed", "file", name, "error", err)
		}
	}
}

func scheduleCollector(s *schedule) prometheus.Collector {
	type figures struct {
		scheduled
		made, fails uint64
	}
	c := &collector[figures]{read: func() (f figures) {
		if last := s.last.Load(); last != nil {
			f.scheduled = *last
		}
		f.made, f.fails = s.made.Load(), s.fails.Load()
		return f
	}}
	c.add("archive", "last_success_timestamp_seconds", "When the newest scheduled archive was made, in seconds since 1970; 0 if there is none.", gauge, func(f figures) float64 {
		if f.at.IsZero() {
			return 0
		}
		return float64(f.at.Unix())
	})
	c.add("archive", "bytes", "Bytes of the newest scheduled archive.", gauge, func(f figures) float64 { return float64(f.bytes) })
	c.add("archive", "seconds", "Seconds that the newest scheduled archive took; 0 if an earlier process made it.", gauge, func(f figures) float64 { return f.took.Seconds() })
	c.add("archive", "failures_total", "Scheduled archives that failed.", counter, func(f figures) float64 { return float64(f.fails) })
	c.add("", "archives_total", "Scheduled archives that this process has made.", counter, func(f figures) float64 { return float64(f.made) })
	return c
}

// openSchedule checks the directory, so that a mistake is found at the start and not at night.
func (s *Server) openSchedule() error {
	if s.cfg.SnapshotSchedule == 0 {
		return nil
	}
	if err := os.MkdirAll(s.cfg.SnapshotDir, 0o700); err != nil {
		return fmt.Errorf("snapshot-dir: %w", err)
	}
	probe, err := os.CreateTemp(s.cfg.SnapshotDir, partPrefix+"*"+partSuffix)
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return fmt.Errorf("snapshot-dir: %w", err)
	}
	s.schedule = &schedule{
		dir: s.cfg.SnapshotDir, every: s.cfg.SnapshotSchedule, keep: s.cfg.SnapshotKeep, cluster: s.machine.Public,
		log: s.log.With("component", "archives"),
		save: func(ctx context.Context, w io.Writer) (session.Index, error) {
			return s.saveState(ctx, &measured{to: w, dir: s.cfg.SnapshotDir, keepFree: s.cfg.DiskLowBytes})
		},
	}
	if err := s.registry.Register(scheduleCollector(s.schedule)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
