package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	identityFile   = "identity.json"
	identityFormat = 1
)

// identity says whose data directory this is. It is written once, before
// anything else, so that a directory is never taken up by another node, under
// another cluster's key, or by a program that is too old for it.
type identity struct {
	Format int    `json:"format"`
	NodeID string `json:"node_id"`
	// Cluster is the name that the cluster key gives the cluster, 16 hex digits.
	Cluster string `json:"cluster"`
	// NonVoter: an operator has demoted this node, and it is not to be given a
	// vote until one promotes it.
	NonVoter bool `json:"non_voter,omitempty"`
}

// claim makes the directory this node's, or says why it is not. keys are the
// cluster names of all valid keys, the preferred one first.
func claim(dir, nodeID string, keys []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	path := filepath.Join(dir, identityFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeIdentity(dir, identity{Format: identityFormat, NodeID: nodeID, Cluster: keys[0]})
	}
	if err != nil {
		return fmt.Errorf("read whose data directory this is: %w", err)
	}
	found, err := decodeIdentity(raw)
	if err != nil {
		return fmt.Errorf("data directory %s: %s %w", dir, identityFile, err)
	}
	if found.NodeID != nodeID {
		return fmt.Errorf("data directory %s belongs to node %q, this node is %q", dir, found.NodeID, nodeID)
	}
	for _, key := range keys {
		if found.Cluster == key {
			if key == keys[0] {
				return nil
			}
			// The key was rotated: follow it, so that the old one may go.
			found.Cluster = keys[0]
			return writeIdentity(dir, found)
		}
	}
	return fmt.Errorf("data directory %s belongs to the cluster of key %s, this node's key is of %s",
		dir, found.Cluster, keys[0])
}

// readIdentity reads what claim has checked.
func readIdentity(dir string) (identity, error) {
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return identity{}, err
	}
	return decodeIdentity(raw)
}

// setNonVoter remembers on disk whether an operator has taken this node's vote.
func (n *Node) setNonVoter(demoted bool) error {
	id, err := readIdentity(n.cfg.DataDir)
	if err == nil && id.NonVoter != demoted {
		id.NonVoter = demoted
		err = writeIdentity(n.cfg.DataDir, id)
	}
	if err != nil {
		return fmt.Errorf("remember the demotion: %w", err)
	}
	n.nonVoter.Store(demoted)
	return nil
}

// wantsVote says whether this node is to be given a vote once it has earned it.
func (n *Node) wantsVote() bool { return n.cfg.Role == RoleVoter && !n.nonVoter.Load() }

func decodeIdentity(raw []byte) (identity, error) {
	var found identity
	if err := json.Unmarshal(raw, &found); err != nil {
		return identity{}, fmt.Errorf("is damaged: %w", err)
	}
	switch {
	case found.Format > identityFormat:
		return identity{}, fmt.Errorf("has format %d, this program knows %d: it was written by a newer version",
			found.Format, identityFormat)
	case found.Format < 1:
		return identity{}, fmt.Errorf("is damaged: format %d", found.Format)
	case !nodeIDPattern.MatchString(found.NodeID):
		return identity{}, fmt.Errorf("is damaged: node id %q", found.NodeID)
	}
	return found, nil
}

// writeIdentity survives a power cut at any moment: the file is whole or not there.
func writeIdentity(dir string, id identity) error {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, identityFile)
	if err := writeSynced(path+".new", append(raw, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", identityFile, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", identityFile, err)
	}
	return syncDir(dir)
}

func writeSynced(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
