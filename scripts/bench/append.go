package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const appendBytes = 300 // about the log entry of one small patch

// measureAppends appends entries to a raft-boltdb file on the measured disk, one at a time, each with its fsync, and
// returns how long each took in microseconds. The file is opened as a node opens its log.
func measureAppends(ctx context.Context, dir string, length time.Duration) (took []float64, err error) {
	dir, err = os.MkdirTemp(dir, "append-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := raftboltdb.New(raftboltdb.Options{
		Path:                    filepath.Join(dir, "raft.db"),
		BoltOptions:             &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30},
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	data := make([]byte, appendBytes)
	began := time.Now()
	for index := uint64(1); time.Since(began) < length && ctx.Err() == nil; index++ {
		start := time.Now()
		if err := store.StoreLogs([]*raft.Log{{Index: index, Term: 1, Type: raft.LogCommand, Data: data, AppendedAt: start}}); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return took, ctx.Err()
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
