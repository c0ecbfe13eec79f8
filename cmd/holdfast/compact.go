package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/storage"
	"github.com/holdfastdb/holdfast/storage/boltfile"
)

func (p *program) compactVerb() *cobra.Command {
	cfg := Config{}
	return p.command(verb{
		use: "compact", short: "make the files of a stopped node small again",
		long: "bbolt's files never shrink: what was removed leaves free pages, which later writes fill. This writes table.db and\n" +
			"raft.db anew without them, beside the old files, reads them back, and only then puts them in their place. It needs\n" +
			"room for the new file beside the old one. An error leaves the old files as they are.",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&cfg.DataDir, "data-dir", "", "the data directory of the node, which must not run")
		},
		check: func() error { return required("data-dir", cfg.DataDir) },
		run:   func(context.Context, []string) error { return p.compact(cfg) },
	})
}

func (p *program) compact(cfg Config) (err error) {
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return err
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := refuseDamaged(cfg.DataDir); err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		compact func() (boltfile.Result, error)
	}{
		{tableFile, func() (boltfile.Result, error) { return storage.Compact(cfg.tablePath(), freeBytes) }},
		{cluster.LogFile, func() (boltfile.Result, error) { return compactLog(filepath.Join(cfg.DataDir, cluster.LogFile)) }},
	} {
		r, err := file.compact()
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s: %.1f MiB before, %.1f MiB now, in %s\n", file.name, mebibytes(r.Before), mebibytes(r.After), r.Took.Round(time.Millisecond))
	}
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

const (
	// A file is worth a compaction where more than half of it holds nothing, and that is much.
	compactFloor    = 256 << 20
	compactInterval = time.Hour
)

func worthCompacting(size, free int64) bool { return free > compactFloor && free > size/2 }

// adviseCompaction looks once an hour, and says once of each file that it is worth it.
func (s *Server) adviseCompaction(ctx context.Context) {
	said := make(map[string]bool)
	for {
		table := s.table.Stats()
		var logSize int64
		if stat, err := os.Stat(filepath.Join(s.cfg.DataDir, cluster.LogFile)); err == nil {
			logSize = stat.Size()
		}
		for _, file := range []struct {
			name       string
			size, free int64
		}{
			{tableFile, table.FileBytes, int64(table.FreePages) * int64(os.Getpagesize())},
			{cluster.LogFile, logSize, s.node.LogFreeBytes()},
		} {
			if worthCompacting(file.size, file.free) && !said[file.name] {
				said[file.name] = true
				s.log.Warn("more than half of a file holds nothing: stop this node and run holdfast compact when you need the room",
					"file", file.name, "size_bytes", file.size, "free_bytes", file.free)
			}
		}
		if !pause(ctx, compactInterval) {
			return
		}
	}
}

func compactLog(path string) (boltfile.Result, error) {
	if err := cluster.InspectLogFile(path, walkFile); err != nil {
		return boltfile.Result{}, fmt.Errorf("compact %s: %w", path, err)
	}
	return boltfile.Compact(path, freeBytes)
}
