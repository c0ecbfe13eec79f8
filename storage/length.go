package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// bbolt's meta page: a page header, then this, in the machine's own byte order.
// Its layout has not changed since the first release of bolt.
const (
	boltHeaderBytes = 16
	boltMetaBytes   = 64
	boltMagic       = 0xED0CDAED
)

// wholeSize returns the size in bytes of the file at path, 0 if there is none.
// It refuses a file that is shorter than its own meta pages say: bbolt would map
// what is not there, and the process would die of SIGBUS at the first touch,
// without a word.
func wholeSize(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if want := claimedSize(f, int64(os.Getpagesize())); info.Size() < want {
		return 0, fmt.Errorf("it is cut short, %d bytes of %d: %w", info.Size(), want, ErrCorrupt)
	}
	return int(info.Size()), nil
}

// claimedSize returns how long the younger valid meta page says the file is, 0
// where none is valid: that is for bbolt to tell.
func claimedSize(f io.ReaderAt, pageSize int64) (size int64) {
	var youngest uint64
	for page := range int64(2) {
		m := make([]byte, boltMetaBytes)
		if _, err := f.ReadAt(m, page*pageSize+boltHeaderBytes); err != nil {
			continue
		}
		order := binary.NativeEndian
		sum := fnv.New64a()
		_, _ = sum.Write(m[:56])
		txid := order.Uint64(m[48:])
		if order.Uint32(m) != boltMagic || order.Uint64(m[56:]) != sum.Sum64() || txid < youngest {
			continue
		}
		youngest = txid
		pages, bytes := order.Uint64(m[40:]), uint64(order.Uint32(m[8:]))
		size = int64(min(pages, math.MaxInt64/max(bytes, 1)) * bytes)
	}
	return size
}
