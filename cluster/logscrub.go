package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/raft"
)

// LogFile is the name of the log's file in the data directory.
const LogFile = "raft.db"

const (
	logsBucket = "logs"
	confBucket = "conf"
)

// Pages is what a Walk has found of a bbolt file.
type Pages struct {
	WholeMetas int      // of its two meta pages
	Buckets    []string // in order
}

// A Walk goes over every page of a bbolt file before bbolt sees it, and calls each
// for every pair. Damage is an error with ErrCorrupt in its chain, a file that a
// process has open one with ErrInUse.
type Walk func(path string, each func(bucket string, key, value []byte) error) (Pages, error)

// ErrInUse: another process has the log's file open.
var ErrInUse = errors.New("another process has the log open")

// InspectLogFile refuses a log whose file is not whole. It is stricter than the
// table's, which the log brings up again: one transaction that is missing here may
// be an entry that was acknowledged, or a vote. A file that is not there, or that
// was never written to, is well; a nil walk inspects nothing.
func InspectLogFile(path string, walk Walk) error {
	if stat, err := os.Stat(path); walk == nil || errors.Is(err, os.ErrNotExist) || err == nil && stat.Size() == 0 {
		return nil
	}
	pages, err := walk(path, func(bucket string, key, _ []byte) error {
		switch {
		case bucket == logsBucket && len(key) == 8:
		case bucket == confBucket && slices.Contains([]string{string(keyCurrentTerm), string(keyLastVoteTerm), string(keyLastVoteCand)}, string(key)):
		default:
			return fmt.Errorf("a key %q in bucket %q: %w", key, bucket, ErrCorrupt)
		}
		return nil
	})
	switch {
	case errors.Is(err, ErrInUse):
		return nil // opening it will say so
	case err != nil:
		return err
	case pages.WholeMetas != 2:
		return fmt.Errorf("%w: one of two meta pages is damaged, and what the last write brought may be lost", ErrCorrupt)
	case len(pages.Buckets) != 0 && !slices.Equal(pages.Buckets, []string{confBucket, logsBucket}):
		return fmt.Errorf("%w: it holds the buckets %q", ErrCorrupt, pages.Buckets)
	}
	return nil
}

// logPiece is how many entries are reread between two pauses.
const logPiece = 256

// scrub rereads every entry of the file, in pieces, between which pause is called.
// durable is how far the table reaches: an entry above it must be there, for nobody
// else on this node has it; below it Raft may leave a gap, after an archive.
//
// The front of the log may be cut meanwhile, and its tail truncated: what is missing
// is looked for again among what the log then holds.
func (s *logStore) scrub(ctx context.Context, durable func() uint64, pause func()) (entries int, err error) {
	first, last, err := s.ends()
	if err != nil {
		return 0, err
	}
	for index := max(first, 1); index <= last; index++ {
		var l raft.Log
		switch err := s.reread(index, &l); {
		case errors.Is(err, raft.ErrLogNotFound):
			if err := s.missing(index, durable); err != nil {
				return entries, err
			}
		case err != nil:
			return entries, err
		default:
			entries++
		}
		if (index-first+1)%logPiece == 0 {
			pause()
		}
		if ctx.Err() != nil {
			return entries, ctx.Err()
		}
	}
	return entries, nil
}

// ends are the first and the last index in the file.
func (s *logStore) ends() (first, last uint64, err error) {
	err = sound(func() (err error) {
		if first, err = s.LogStore.FirstIndex(); err == nil {
			last, err = s.LogStore.LastIndex()
		}
		return err
	})
	return first, last, err
}

// missing says whether an entry that is not in the file should be.
func (s *logStore) missing(index uint64, durable func() uint64) error {
	reached := durable()
	first, last, err := s.ends()
	if err != nil {
		return err
	}
	if index <= reached || index < first || index > last {
		return nil
	}
	var l raft.Log
	if err := s.reread(index, &l); !errors.Is(err, raft.ErrLogNotFound) {
		return err // it was truncated and written again meanwhile
	}
	return fmt.Errorf("%w: entry %d is missing between %d and %d", ErrCorrupt, index, first, last)
}

// ScrubLog rereads this node's log from its file, slowly, calling pause between two
// pieces, and term and vote. What it finds damaged ends the node; the error's chain
// then holds ErrCorrupt.
func (n *Node) ScrubLog(ctx context.Context, pause func()) (entries int, err error) {
	entries, err = n.logs.scrub(ctx, n.durable, pause)
	if err == nil {
		err = n.stable.scrub()
	}
	if errors.Is(err, ErrCorrupt) {
		n.stop(err)
	}
	return entries, err
}

func (n *Node) durable() uint64 {
	index, _, _, _ := n.machine.Durable()
	return index
}
