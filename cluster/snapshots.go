package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// snapshotStore shows Raft the machine's own durable point as its one snapshot:
// there is no copy of the state, and no marker that could disagree with it.
//
//   - A sink that is closed without data (takeSnapshot) flushes the machine.
//   - Open exports the state into an unlinked file first, because a slow follower
//     that read a live transaction was measured to grow the table's file from 49
//     to 398 MB. Index, term, configuration and size are that export's own.
//   - A sink with data (installSnapshot) is an archive from the leader. It can be
//     opened by its id, once, and is listed only as what the machine becomes by
//     importing it: a crash before that leaves the old state.
type snapshotStore struct {
	machine Machine
	spool   string
	logs    raft.LogStore
	mark    *watermark
	watch   *watchdog
	fail    func(error)
	counts  *snapshotCounts

	mu       sync.Mutex
	serial   uint64
	received map[string]*sink
	last     uint64 // index of the archive installed last
}

// snapshotCounts are for the operator.
type snapshotCounts struct {
	taken, exported, installed atomic.Uint64
}

// openSpool makes an empty directory for archives on their way. What a crash
// left there is of no use to anybody.
func openSpool(dataDir string) (string, error) {
	dir := filepath.Join(dataDir, SpoolDir)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clear the spool: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the spool: %w", err)
	}
	return dir, nil
}

func decodeConfiguration(b []byte) (c raft.Configuration, err error) {
	// The library panics at bytes that it cannot read.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("stored configuration: %v", r)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

func snapshotMeta(id string, index, term uint64, configuration []byte, configurationIndex uint64) (*raft.SnapshotMeta, error) {
	if len(configuration) == 0 {
		return nil, fmt.Errorf("the table is at index %d and has no configuration", index)
	}
	c, err := decodeConfiguration(configuration)
	if err != nil {
		return nil, err
	}
	return &raft.SnapshotMeta{
		Version:            raft.SnapshotVersionMax,
		ID:                 id,
		Index:              index,
		Term:               term,
		Configuration:      c,
		ConfigurationIndex: configurationIndex,
	}, nil
}

const durableID = "durable"

func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	index, term, configuration, configurationIndex := s.machine.Durable()
	if index == 0 {
		return nil, nil
	}
	meta, err := snapshotMeta(durableID, index, term, configuration, configurationIndex)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

func (s *snapshotStore) Create(_ raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return &sink{
		store: s,
		meta: raft.SnapshotMeta{
			Version:            raft.SnapshotVersionMax,
			ID:                 fmt.Sprintf("received-%d-%d-%d", term, index, s.serial),
			Index:              index,
			Term:               term,
			Configuration:      configuration,
			ConfigurationIndex: configurationIndex,
		},
	}, nil
}

// Open takes the id of List or that of a received archive. The caller of the
// latter becomes its owner.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == durableID {
		return s.export()
	}
	s.mu.Lock()
	got, ok := s.received[id]
	delete(s.received, id)
	s.mu.Unlock()
	if !ok {
		return nil, nil, fmt.Errorf("no snapshot %q", id)
	}
	meta := got.meta
	return &meta, got.file, nil
}

func (s *snapshotStore) export() (*raft.SnapshotMeta, io.ReadCloser, error) {
	file, err := s.spoolFile()
	if err != nil {
		return nil, nil, err
	}
	meta, err := s.exportTo(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("export the state: %w", err), file.Close())
	}
	s.counts.exported.Add(1)
	return meta, file, nil
}

func (s *snapshotStore) exportTo(file *os.File) (*raft.SnapshotMeta, error) {
	index, term, configuration, configurationIndex, err := s.machine.Export(file)
	if err != nil {
		return nil, err
	}
	meta, err := snapshotMeta(durableID, index, term, configuration, configurationIndex)
	if err != nil {
		return nil, err
	}
	meta.Size, err = file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return meta, err
}

// spoolFile is a file without a name: it is gone when it is closed, also by a
// crash.
func (s *snapshotStore) spoolFile() (*os.File, error) {
	file, err := os.CreateTemp(s.spool, "archive-*")
	if err != nil {
		return nil, fmt.Errorf("spool an archive: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool an archive: %w", err), file.Close())
	}
	return file, nil
}

// installed notes that an archive of index has become the state. The same index
// twice in a row, with a log that reaches further, means a tail that conflicts
// with the leader's and that Raft will never cut (hashicorp/raft#697).
func (s *snapshotStore) installed(index uint64) {
	s.counts.installed.Add(1)
	s.mu.Lock()
	again := s.last == index
	s.last = index
	s.mu.Unlock()
	last, err := s.logs.LastIndex()
	if again && err == nil && last > index {
		s.fail(fmt.Errorf("%w: the archive of index %d was sent twice and the log ends at %d", ErrDiverged, index, last))
	}
}

// lastInstalled is the index of the archive installed last, 0 if none was.
func (s *snapshotStore) lastInstalled() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// sink is one snapshot being made: by a flush, or from an archive's bytes.
type sink struct {
	store  *snapshotStore
	meta   raft.SnapshotMeta
	file   *os.File // nil until the first Write
	closed bool
}

func (k *sink) ID() string { return k.meta.ID }

func (k *sink) Write(p []byte) (int, error) {
	if k.file == nil {
		file, err := k.store.spoolFile()
		if err != nil {
			return 0, err
		}
		k.file = file
	}
	return k.file.Write(p)
}

func (k *sink) Close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if k.file == nil {
		return k.flush()
	}
	// An old install that arrives late would take the state back behind what
	// this node has acknowledged.
	if applied := k.store.mark.applied(); k.meta.Index < applied {
		return errors.Join(
			fmt.Errorf("archive of index %d is older than this node's state at %d", k.meta.Index, applied),
			k.file.Close())
	}
	size, err := k.file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = k.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("rewind the archive: %w", err), k.file.Close())
	}
	k.meta.Size = size
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.received[k.meta.ID] = k
	return nil
}

func (k *sink) flush() error {
	defer k.store.watch.begin("flush of the table")()
	if err := k.store.machine.Flush(k.meta.Index, k.meta.Term); err != nil {
		err = fmt.Errorf("%w: flush the table: %w", ErrDisk, err)
		k.store.fail(err)
		return err
	}
	k.store.counts.taken.Add(1)
	return nil
}

func (k *sink) Cancel() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}
