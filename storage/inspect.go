package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/holdfastdb/holdfast/storage/boltfile"
)

// inspect refuses a file whose structure is not whole, or that holds a value that
// does not match its CRC: bbolt would map what is not there, and the process would
// die of SIGBUS without a word; or it would go on with fewer pairs than there were.
//
// One damaged meta page is no reason: bbolt goes on from the other one, the table
// is then one flush older, and the log brings the rest.
func inspect(path string, log *slog.Logger) error {
	stat, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case stat.IsDir():
		return errors.New("it is a directory")
	case stat.Size() == 0:
		return nil
	}
	figures, err := boltfile.Check(path, verify)
	switch {
	case err != nil && boltfile.InUse(path):
		return ErrLocked // its pages change while they are read
	case errors.Is(err, boltfile.ErrDamaged):
		return fmt.Errorf("%w (%w)", ErrCorrupt, err)
	case err != nil:
		return err
	}
	if b := figures.Buckets; slices.Contains(b, string(dataBucket)) != slices.Contains(b, string(metaBucket)) {
		return fmt.Errorf("it holds the buckets %q: %w", b, ErrCorrupt)
	}
	if figures.WholeMetas == 1 {
		log.Warn("one of two meta pages is damaged: going on from the other one", "file", path)
	}
	return nil
}

// verify checks one pair of a table's file.
func verify(bucket string, key, stored []byte) error {
	if bucket == string(metaBucket) && !bytes.Equal(key, formatKey) && !bytes.Equal(key, pointKey) {
		return fmt.Errorf("an unknown key %x: %w", key, ErrCorrupt)
	}
	if bucket != string(dataBucket) {
		return nil // format and point are checked where they are read
	}
	_, err := unseal(key, stored)
	return err
}
