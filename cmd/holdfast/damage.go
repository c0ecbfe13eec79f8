package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/storage"
)

// A node whose data are damaged, or differ from the others', must not come back by a mere restart: systemd would start it
// again and again, and each time it would serve until it meets the damage. So it leaves a marker in its data directory,
// with which no process serves, until the operator has it healed.

const (
	markerFile   = "damaged.json"
	markerFormat = 1
)

// marker says why a data directory is not to be served from.
type marker struct {
	Format int       `json:"format"`
	Time   time.Time `json:"time"`
	NodeID string    `json:"node_id"`
	Reason string    `json:"reason"`
}

// isDamage says whether err is of data that are not what was written, or not the cluster's. A full or failing disk is
// not, nor is a node that was removed: there the data are as they should be.
func isDamage(err error) bool {
	for _, reason := range []error{
		storage.ErrCorrupt, fsm.ErrStateHash, cluster.ErrCorrupt, cluster.ErrIdentity, cluster.ErrDiverged,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// condemn leaves the marker where err is of damage, and returns what the operator is told: the reason, and the one
// command.
func (s *Server) condemn(err error) error {
	if !isDamage(err) {
		return err
	}
	told := fmt.Errorf("the data of this node are damaged; the other nodes have the state: run %s and start it again: %w",
		healCommand(s.cfg.DataDir), err)
	if failed := writeMarker(s.cfg.DataDir, marker{NodeID: s.cfg.NodeID, Reason: oneLine([]error{err}).Error()}); failed != nil {
		return errors.Join(told, fmt.Errorf("that could not be remembered: %w", failed))
	}
	return told
}

func healCommand(dir string) string { return "holdfast heal --yes --data-dir " + dir }

// examine looks at the table where the machine could not go on: it may be that a record is damaged, or that this
// release has a fault, which no healing would mend.
func (s *Server) examine(err error) error {
	if !errors.Is(err, cluster.ErrMachine) || isDamage(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), examineTimeout)
	defer cancel()
	if found := s.machine.Scrub(ctx, func() {}); isDamage(found) {
		return errors.Join(err, found)
	}
	return err
}

const examineTimeout = 20 * time.Second

// refuseDamaged returns an error where the directory has a marker. One that cannot be read is one all the same.
func refuseDamaged(dir string) error {
	m, err := readMarker(dir)
	if err != nil || m == nil {
		return err
	}
	return fmt.Errorf("this node took itself out of service at %s: %s: run %s and start it again",
		m.Time.UTC().Format(time.RFC3339), m.Reason, healCommand(dir))
}

// readMarker returns nil where there is none.
func readMarker(dir string) (*marker, error) {
	raw, err := os.ReadFile(filepath.Join(dir, markerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", markerFile, err)
	}
	m := &marker{}
	if err := json.Unmarshal(raw, m); err != nil || m.Reason == "" {
		return &marker{Reason: "the reason in " + markerFile + " cannot be read"}, nil
	}
	return m, nil
}

// writeMarker leaves a marker that is there alone: the first reason is the one that counts.
func writeMarker(dir string, m marker) error {
	path := filepath.Join(dir, markerFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	m.Format, m.Time = markerFormat, time.Now().UTC().Truncate(time.Millisecond)
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(raw, '\n'))
}

// replaceFile survives a power cut at any moment: the file is the old one or the new one.
func replaceFile(path string, content []byte) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
