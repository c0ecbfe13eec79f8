package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/storage/boltfile"
)

// errDirInUse is returned for a data directory in which another process works.
var errDirInUse = errors.New("another process has the data directory open: stop the node first")

// tableFile is the name of the table's file in the data directory.
const tableFile = "table.db"

func (c Config) tablePath() string { return filepath.Join(c.DataDir, tableFile) }

// openDataDir makes the directory this process's, unless it is marked as damaged.
func (s *Server) openDataDir() error {
	if err := privateDir(s.cfg.DataDir); err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	lock, err := lockDir(s.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	s.opened("data-dir", lock.Close)
	if err := refuseDamaged(s.cfg.DataDir); err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	// What a compaction that was killed has left is of no use to anybody.
	for _, name := range []string{tableFile, cluster.LogFile} {
		err := os.Remove(filepath.Join(s.cfg.DataDir, name+boltfile.Suffix))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("data-dir: %w", err)
		}
	}
	return nil
}
