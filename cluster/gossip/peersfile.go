package gossip

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	peersFormat = 1
	// maxPeers are remembered; the one that was seen longest ago goes.
	maxPeers = 64
	// maxPeersBytes bounds the file that is read.
	maxPeersBytes = 1 << 20
)

// remembered is a node as it was last seen.
type remembered struct {
	ID          string    `json:"id"`
	GossipAddr  string    `json:"gossip_addr"`
	ClusterAddr string    `json:"cluster_addr"`
	Seen        time.Time `json:"seen"`
}

type peersDocument struct {
	Format int          `json:"format"`
	Peers  []remembered `json:"peers"`
}

// memory is the nodes that this one has seen, also after a restart. It does not
// forget by time: a cluster may be switched off for a year.
type memory struct {
	path string

	mu    sync.Mutex
	peers map[string]remembered
	dirty bool
}

// recall reads the file. On an error the memory is empty and works.
func recall(path string) (*memory, error) {
	m := &memory{path: path, peers: make(map[string]remembered)}
	if path == "" {
		return m, nil
	}
	stat, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if stat.Size() > maxPeersBytes {
		return m, fmt.Errorf("%s has %d bytes, at most %d are read", path, stat.Size(), maxPeersBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	document, err := decodePeers(raw)
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range document.Peers {
		m.peers[p.ID] = p
	}
	m.forgetOldest()
	return m, nil
}

func decodePeers(raw []byte) (peersDocument, error) {
	var d peersDocument
	if err := json.Unmarshal(raw, &d); err != nil {
		return peersDocument{}, err
	}
	if d.Format != peersFormat {
		return peersDocument{}, fmt.Errorf("format %d, this program knows %d", d.Format, peersFormat)
	}
	for _, p := range d.Peers {
		if p.ID == "" {
			return peersDocument{}, errors.New("peer without an id")
		}
	}
	return d, nil
}

// learn takes in who is there now.
func (m *memory) learn(members []Member, self string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range members {
		if member.ID == self {
			continue
		}
		old, known := m.peers[member.ID]
		m.peers[member.ID] = remembered{
			ID: member.ID, GossipAddr: member.GossipAddr, ClusterAddr: member.ClusterAddr,
			Seen: now.UTC().Truncate(time.Second),
		}
		// When it was seen is not worth a write of its own.
		if !known || old.GossipAddr != member.GossipAddr || old.ClusterAddr != member.ClusterAddr {
			m.dirty = true
		}
	}
	m.forgetOldest()
}

func (m *memory) forgetOldest() {
	for len(m.peers) > maxPeers {
		oldest := slices.MinFunc(slices.Collect(maps.Values(m.peers)), func(a, b remembered) int {
			return cmp.Or(a.Seen.Compare(b.Seen), cmp.Compare(a.ID, b.ID))
		})
		delete(m.peers, oldest.ID)
	}
}

func (m *memory) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.peers[id]; known {
		delete(m.peers, id)
		m.dirty = true
	}
}

func (m *memory) find(id string) (remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.peers[id]
	return p, ok
}

func (m *memory) list() []remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.peers), func(a, b remembered) int { return cmp.Compare(a.ID, b.ID) })
}

// save writes the file if there is something new. A power cut at any moment
// leaves the old file or the new one.
func (m *memory) save() error {
	m.mu.Lock()
	dirty := m.dirty
	m.dirty = false
	m.mu.Unlock()
	if !dirty || m.path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(peersDocument{Format: peersFormat, Peers: m.list()}, "", "  ")
	if err == nil {
		err = replaceFile(m.path, append(raw, '\n'))
	}
	if err != nil {
		m.mu.Lock()
		m.dirty = true
		m.mu.Unlock()
		return fmt.Errorf("remember peers: %w", err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	fresh := path + ".new"
	if err := writeSynced(fresh, content); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
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
