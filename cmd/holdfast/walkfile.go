package main

import (
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/storage/boltfile"
)

// walkFile inspects the log's file for package cluster, which knows nothing of ours.
func walkFile(path string, each func(bucket string, key, value []byte) error) (cluster.Pages, error) {
	figures, err := boltfile.Check(path, each)
	switch {
	case err != nil && boltfile.InUse(path):
		err = cluster.ErrInUse
	case errors.Is(err, boltfile.ErrDamaged):
		err = fmt.Errorf("%w: %w", cluster.ErrCorrupt, err)
	}
	return cluster.Pages{WholeMetas: figures.WholeMetas, Buckets: figures.Buckets}, err
}
