package cluster

import (
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/storage/boltfile"
)

// walkFile is the walk that a server has.
func walkFile(path string, each func(bucket string, key, value []byte) error) (Pages, error) {
	figures, err := boltfile.Check(path, each)
	switch {
	case err != nil && boltfile.InUse(path):
		err = ErrInUse
	case errors.Is(err, boltfile.ErrDamaged):
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return Pages{WholeMetas: figures.WholeMetas, Buckets: figures.Buckets}, err
}
