package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// FormatVersion is the version of the file that this release writes.
const FormatVersion = 1

// ErrNewerFormat is returned for a file that a later release has written.
var ErrNewerFormat = errors.New("the file has a newer format: start the release that wrote it, or a later one")

// ErrLocked is returned for a file that another process has open.
var ErrLocked = errors.New("another process has the file open")

// ErrCorrupt is returned where a value does not match its CRC, and where the
// file's structure cannot be followed.
var ErrCorrupt = errors.New("the file is damaged: what is stored is not what was written")

var (
	dataBucket = []byte("data")
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
	pointKey   = []byte("point")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const crcLen = 4

// openFile opens or makes the bbolt file at path, and reads its point.
func openFile(path string, initialMmapSize int) (*bbolt.DB, Point, error) {
	db, p, err := openBolt(path, initialMmapSize)
	if err != nil {
		return nil, Point{}, fmt.Errorf("open %s: %w", path, err)
	}
	return db, p, nil
}

func openBolt(path string, initialMmapSize int) (db *bbolt.DB, p Point, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true)) // bbolt walks the whole file, and panics at what it cannot follow
	stat, err := os.Stat(path)
	fresh := err != nil || stat.Size() == 0
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: initialMmapSize,
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, Point{}, ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		return nil, Point{}, fmt.Errorf("%w (%w)", ErrCorrupt, err)
	case err != nil:
		return nil, Point{}, err
	}
	if fresh {
		err = errors.Join(db.Update(prepare), syncDir(path))
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) (err error) { p, err = recognise(tx); return err })
	}
	if err != nil {
		return nil, Point{}, errors.Join(err, db.Close())
	}
	return db, p, nil
}

// prepare makes the buckets of a new file.
func prepare(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(dataBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(formatKey, binary.BigEndian.AppendUint16(nil, FormatVersion))
}

// recognise refuses what is not a table of ours, and a newer one, and returns
// the point of any other.
func recognise(tx *bbolt.Tx) (Point, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return Point{}, errors.New("this is a bbolt file, but not a table of Holdfast")
	}
	format := meta.Get(formatKey)
	if len(format) != 2 {
		return Point{}, fmt.Errorf("format: %w", ErrCorrupt)
	}
	if version := binary.BigEndian.Uint16(format); version > FormatVersion {
		return Point{}, fmt.Errorf("format %d: %w", version, ErrNewerFormat)
	}
	if tx.Bucket(dataBucket) == nil {
		return Point{}, fmt.Errorf("data: %w", ErrCorrupt)
	}
	return readPoint(tx)
}

// damaged turns what bbolt does with a damaged file into an error: it panics at
// what it cannot follow, and where a page cannot be read in, or lies outside the
// file, the memory faults. Defer it with what debug.SetPanicOnFault(true) returns.
func damaged(err *error, faults bool) {
	debug.SetPanicOnFault(faults)
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w (%v)", ErrCorrupt, r)
	}
}

// seal returns the stored form of a value: its CRC-32C and itself.
func seal(key, value []byte) []byte {
	out := make([]byte, crcLen, crcLen+len(value))
	binary.BigEndian.PutUint32(out, checksum(key, value))
	return append(out, value...)
}

// unseal checks a stored value and returns the part of it that is the value.
func unseal(key, stored []byte) ([]byte, error) {
	if len(stored) < crcLen || binary.BigEndian.Uint32(stored) != checksum(key, stored[crcLen:]) {
		return nil, fmt.Errorf("key %x: %w", key, ErrCorrupt)
	}
	return stored[crcLen:], nil
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

func writePoint(tx *bbolt.Tx, p Point) error {
	return tx.Bucket(metaBucket).Put(pointKey, encodePoint(p))
}

// The point is stored sealed: index, term, configuration index, configuration.
func encodePoint(p Point) []byte {
	b := binary.BigEndian.AppendUint64(nil, p.Index)
	b = binary.BigEndian.AppendUint64(b, p.Term)
	b = binary.BigEndian.AppendUint64(b, p.ConfigurationIndex)
	return seal(pointKey, append(b, p.Configuration...))
}

func readPoint(tx *bbolt.Tx) (Point, error) {
	stored := tx.Bucket(metaBucket).Get(pointKey)
	if stored == nil {
		return Point{}, nil
	}
	return decodePoint(stored)
}

func decodePoint(stored []byte) (Point, error) {
	b, err := unseal(pointKey, stored)
	if err != nil || len(b) < 24 {
		return Point{}, fmt.Errorf("durable point: %w", ErrCorrupt)
	}
	p := Point{
		Index:              binary.BigEndian.Uint64(b),
		Term:               binary.BigEndian.Uint64(b[8:]),
		ConfigurationIndex: binary.BigEndian.Uint64(b[16:]),
	}
	if len(b) > 24 {
		p.Configuration = append([]byte(nil), b[24:]...)
	}
	return p, nil
}

// syncDir makes a new name in the directory of path durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
