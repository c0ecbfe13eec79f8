package boltfile

import (
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Suffix is what a file is named while it is made beside the one that it is to
// replace. One that a crash left is of no use.
const Suffix = ".compact"

// ErrInUse is returned for a file that a process has open.
var ErrInUse = errors.New("a process has the file open: stop the node first")

// ErrNoRoom is returned where the disk cannot hold both files for a moment.
var ErrNoRoom = errors.New("there is not enough room for the new file beside the old one")

// Result says what a compaction did.
type Result struct {
	Before, After int64 // bytes
	Took          time.Duration
}

const (
	// transactionBytes is how much is copied in one transaction.
	transactionBytes = 8 << 20
	// headroom is what is demanded beyond the pages that hold something.
	headroom = 16 << 20
)

// Compact writes what the file holds into a new one, without the free pages, and
// puts it in the old one's place: written beside, synced, read back, renamed, the
// directory synced. An error leaves the old file. free tells the room that is
// left in a directory, in bytes; it may be nil. The caller sees to it that nobody
// opens the file meanwhile.
func Compact(path string, free func(dir string) (int64, error)) (Result, error) {
	began := time.Now()
	r, err := compact(path, free)
	if err != nil {
		return r, fmt.Errorf("compact %s: %w", path, err)
	}
	r.Took = time.Since(began)
	return r, nil
}

func compact(path string, free func(dir string) (int64, error)) (r Result, err error) {
	source, err := openSource(path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	old, before, err := sum(path)
	if err != nil {
		return r, err
	}
	r.Before = before.FileBytes
	if before.WholeMetas != 2 {
		return r, fmt.Errorf("one of its meta pages is damaged: %w", ErrDamaged)
	}
	if free != nil {
		left, err := free(filepath.Dir(path))
		if need := before.Used*before.PageBytes + headroom; err == nil && left < need {
			return r, fmt.Errorf("%w: %d bytes are free, %d are needed", ErrNoRoom, left, need)
		}
	}
	beside := path + Suffix
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(beside) // the error that counts is the first one
		}
	}()
	if err := copyTo(beside, source); err != nil {
		return r, err
	}
	copied, after, err := sum(beside)
	if err != nil {
		return r, fmt.Errorf("read back: %w", err)
	}
	if copied != old {
		return r, fmt.Errorf("read back: the copy differs from the file: %w", ErrDamaged)
	}
	r.After = after.FileBytes
	if err := os.Rename(beside, path); err != nil {
		return r, err
	}
	return r, syncDir(filepath.Dir(path))
}

// openSource opens the file, unless a process has it open for writing.
func openSource(path string) (*bbolt.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	// bbolt panics at a file that is not whole: nothing is opened that was not walked.
	if _, err := Check(path, nil); err != nil {
		if InUse(path) {
			return nil, ErrInUse
		}
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 100 * time.Millisecond})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrInUse
	}
	return db, err
}

// copyTo writes all pairs of source into a new file at path, and syncs it.
func copyTo(path string, source *bbolt.DB) (err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: true, Timeout: time.Second,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := bbolt.Compact(db, source, transactionBytes); err != nil {
		return err
	}
	return db.Sync()
}

// digest is of all pairs in their order.
type digest struct {
	pairs int64
	sum   uint64
}

// sum walks a file and digests what it holds.
func sum(path string) (digest, Figures, error) {
	hash, pairs := crc64.New(crc64.MakeTable(crc64.ECMA)), int64(0)
	figures, err := Check(path, func(bucket string, key, value []byte) error {
		pairs++
		_, err := fmt.Fprintf(hash, "%s %d %d ", bucket, len(key), len(value))
		_, _ = hash.Write(key)
		_, _ = hash.Write(value)
		return err
	})
	return digest{pairs, hash.Sum64()}, figures, err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
