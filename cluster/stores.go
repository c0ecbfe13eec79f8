package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// prefixChunk is how many entries one transaction of a log compaction deletes.
// Appends wait for that transaction, so it must stay short.
const prefixChunk = 512

// openInspected opens raft.db once a walk has found it whole.
func openInspected(dir string, walk Walk) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(dir, LogFile)
	if err := InspectLogFile(path, walk); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return openLogFile(dir)
}

// openLogFile opens raft.db: the map freelist that is not synced made an append
// after a truncation 0.52 ms instead of 1.75 ms, and a large initial mapping
// spares growth, which waits for every reader. Never NoSync, never NoGrowSync.
func openLogFile(dir string) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(dir, LogFile)
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:         time.Second, // for the file lock of another process
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: 1 << 30,
		},
		MsgpackUseNewTimeFormat: true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return store, nil
}

// logStore stands between Raft and the log's file. It keeps recent entries in
// memory within a bound in bytes, checks the checksum of what it reads from the
// file (a rotten entry must be noticed before it is applied or sent to anybody),
// puts every write under the watchdog, and ends the node at a write error.
type logStore struct {
	raft.LogStore
	watch *watchdog
	fail  func(error)
	cache *logCache
	// ahead hears of entries before they are written; nil if nobody wants to.
	ahead func([]*raft.Log)
	// appended hears how long each append took, its fsync included; nil if nobody
	// wants to.
	appended func(took time.Duration)
	// end is called by a goroutine of Raft's after it has met damage, which Raft may
	// answer with a panic. Nil, or one that returns, leaves the error to the caller.
	end func()
}

func newLogStore(inner raft.LogStore, cacheBytes int64, watch *watchdog, fail func(error)) *logStore {
	return &logStore{LogStore: inner, watch: watch, fail: fail, cache: newLogCache(cacheBytes)}
}

// damaged ends the node where err says that the log's file is.
func (s *logStore) damaged(err error) error {
	if errors.Is(err, ErrCorrupt) {
		s.fail(err)
		if s.end != nil {
			s.end()
		}
	}
	return err
}

func (s *logStore) FirstIndex() (index uint64, err error) {
	err = sound(func() (err error) { index, err = s.LogStore.FirstIndex(); return err })
	return index, s.damaged(err)
}

func (s *logStore) LastIndex() (index uint64, err error) {
	err = sound(func() (err error) { index, err = s.LogStore.LastIndex(); return err })
	return index, s.damaged(err)
}

func (s *logStore) GetLog(index uint64, log *raft.Log) error {
	if s.cache.get(index, log) {
		return nil
	}
	return s.damaged(s.reread(index, log))
}

// reread reads an entry from the file, whatever is in memory, and checks it.
func (s *logStore) reread(index uint64, log *raft.Log) error {
	var read raft.Log // the codec leaves alone what an entry does not mention
	err := sound(func() error { return s.LogStore.GetLog(index, &read) })
	switch {
	case errors.Is(err, raft.ErrLogNotFound), errors.Is(err, ErrCorrupt):
		return err
	case err != nil:
		return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	if err := unsealLog(index, &read); err != nil {
		return err
	}
	*log = read
	return nil
}

func (s *logStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s *logStore) StoreLogs(logs []*raft.Log) error {
	defer s.watch.begin("append to the log")()
	if s.ahead != nil {
		s.ahead(logs)
	}
	began := time.Now()
	if err := s.wrote("append to the log", func() error { return s.LogStore.StoreLogs(sealLogs(logs)) }); err != nil {
		return err
	}
	if s.appended != nil {
		s.appended(time.Since(began))
	}
	s.cache.add(logs)
	return nil
}

// wrote does one write. One that fails ends the node.
func (s *logStore) wrote(what string, write func() error) error {
	err := sound(write)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %s: %w", ErrDisk, what, err)
	}
	if err != nil {
		s.fail(err)
	}
	return err
}

// DeleteRange removes a prefix in short transactions. Anything else is the
// truncation of a conflicting tail and is one transaction: a crash in its middle
// would leave a hole with a tail behind it.
func (s *logStore) DeleteRange(from, to uint64) error {
	defer s.watch.begin("delete from the log")()
	s.cache.remove(from, to)
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if from <= first && to < last {
		for ; to-from >= prefixChunk; from += prefixChunk {
			if err := s.deleteOnce(from, from+prefixChunk-1); err != nil {
				return err
			}
		}
	}
	return s.deleteOnce(from, to)
}

func (s *logStore) deleteOnce(from, to uint64) error {
	return s.wrote("delete from the log", func() error { return s.LogStore.DeleteRange(from, to) })
}

// wiped says that these stores remember no term, no vote and no entry. A node
// like that must not vote, whatever its table still holds: it has forgotten what
// it promised.
func wiped(logs raft.LogStore, stable raft.StableStore) (bool, error) {
	last, err := logs.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read the log: %w", err)
	}
	term, err := stable.GetUint64(keyCurrentTerm)
	if err != nil && !notFound(err) {
		return false, fmt.Errorf("read the term: %w", err)
	}
	return last == 0 && term == 0, nil
}
