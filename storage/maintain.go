package storage

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/holdfastdb/holdfast/storage/boltfile"
)

// Inspect says what Open would refuse the file at path for: damage to its
// structure, or to a value. A file that is not there is well. Nobody may write it
// meanwhile.
func Inspect(path string) error {
	return inspect(path, slog.New(slog.DiscardHandler))
}

// PointOf reads the durable point of a file that nobody has open, if its pages lead
// there: damage elsewhere does not matter.
func PointOf(path string) (p Point, err error) {
	found := false
	_, err = boltfile.Check(path, func(bucket string, key, value []byte) error {
		if bucket == string(metaBucket) && string(key) == string(pointKey) {
			p, err = decodePoint(value)
			found = true
			return errors.Join(err, errStopWalk)
		}
		return nil
	})
	if found && errors.Is(err, errStopWalk) && !errors.Is(err, ErrCorrupt) {
		return p, nil
	}
	if err == nil {
		return Point{}, nil
	}
	return Point{}, fmt.Errorf("read the point of %s: %w", path, err)
}

var errStopWalk = errors.New("found")

// Compact makes the file at path small again: see boltfile.Compact. The table must
// not be open.
func Compact(path string, free func(dir string) (int64, error)) (boltfile.Result, error) {
	if err := Inspect(path); err != nil {
		return boltfile.Result{}, fmt.Errorf("compact %s: %w", path, err)
	}
	return boltfile.Compact(path, free)
}
