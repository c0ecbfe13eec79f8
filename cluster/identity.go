package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	// Store was drawn when the directory was made, 16 hex digits: it tells two
	// directories of one node id apart. One of an older release has none.
	Store string `json:"store,omitempty"`
	// Keys are the names of all valid keys as this node last knew them, and
	// Pending the one of them that was installed and has not been the first yet.
	Keys    []string `json:"keys,omitempty"`
	Pending string   `json:"pending_key,omitempty"`
	// Sum is a CRC-32C of the file's bytes, 8 hex digits, where these count as
	// zeros. A file of an older release has none.
	Sum string `json:"sum,omitempty"`
}

// follow is the identity under the keys that are valid now, or not ok if the
// directory belongs to none of them.
func (id identity) follow(keys []string) (next identity, ok bool) {
	if !slices.Contains(keys, id.Cluster) {
		return id, false
	}
	known := id.Keys
	if known == nil { // written before there was a list
		known = []string{id.Cluster}
	}
	for _, key := range keys[1:] {
		if !slices.Contains(known, key) {
			id.Pending = key
		}
	}
	if id.Pending == keys[0] || !slices.Contains(keys, id.Pending) {
		id.Pending = ""
	}
	// The key was rotated: follow it, so that the old one may go.
	id.Cluster, id.Keys = keys[0], keys
	return id, true
}

// claim makes the directory this node's, or says why it is not. keys are the
// cluster names of all valid keys, the preferred one first.
func claim(dir, nodeID string, keys []string) (identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, fmt.Errorf("make the data directory: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		id := identity{Format: identityFormat, NodeID: nodeID, Cluster: keys[0], Keys: keys, Store: drawStore()}
		return id, writeIdentity(dir, id)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read whose data directory this is: %w", err)
	}
	found, err := decodeIdentity(raw)
	if err != nil {
		return identity{}, fmt.Errorf("data directory %s: %s: %w", dir, identityFile, err)
	}
	if found.NodeID != nodeID {
		return identity{}, fmt.Errorf("data directory %s belongs to node %q, this node is %q", dir, found.NodeID, nodeID)
	}
	next, ok := found.follow(keys)
	if !ok {
		return identity{}, fmt.Errorf("data directory %s belongs to the cluster of key %s, this node's key is of %s",
			dir, found.Cluster, keys[0])
	}
	if found.Sum != "" && next.Cluster == found.Cluster && next.Pending == found.Pending && slices.Equal(next.Keys, found.Keys) {
		return found, nil
	}
	return next, writeIdentity(dir, next)
}

func drawStore() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// store is Store as a number, 0 for none.
func (id identity) store() uint64 {
	n, err := strconv.ParseUint(id.Store, 16, 64)
	if err != nil {
		return 0
	}
	return n
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
	n.identity.Lock()
	defer n.identity.Unlock()
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
		return identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	switch {
	case found.Format > identityFormat && (found.Sum == "" || found.Sum == identitySum(raw)):
		return identity{}, fmt.Errorf("has format %d, this program knows %d: it was written by a newer version",
			found.Format, identityFormat)
	case found.Format != identityFormat:
		return identity{}, fmt.Errorf("%w: format %d", ErrIdentity, found.Format)
	case !nodeIDPattern.MatchString(found.NodeID):
		return identity{}, fmt.Errorf("%w: node id %q", ErrIdentity, found.NodeID)
	case found.Sum != "" && found.Sum != identitySum(raw):
		return identity{}, fmt.Errorf("%w: the sum of its bytes is %s", ErrIdentity, identitySum(raw))
	}
	return found, nil
}

var sumMember = regexp.MustCompile(`"sum": "[^"]*"`)

func identitySum(raw []byte) string {
	blank := sumMember.ReplaceAll(raw, []byte(`"sum": "00000000"`))
	return fmt.Sprintf("%08x", crc32.Checksum(blank, crcTable))
}

// writeIdentity survives a power cut at any moment: the file is whole or not there.
func writeIdentity(dir string, id identity) error {
	id.Sum = "00000000"
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	raw = sumMember.ReplaceAll(raw, fmt.Appendf(nil, `"sum": "%s"`, identitySum(raw)))
	path := filepath.Join(dir, identityFile)
	if err := writeSynced(path+".new", raw); err != nil {
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
