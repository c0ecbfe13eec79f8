package storage

import (
	"bytes"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// disk is the file as of one flush: a read transaction that many readers share.
// To begin one for each read costs more than the read, and waits for bbolt's
// locks while a commit writes. (etcd shares its own in the same way: below a
// read, bbolt changes nothing but atomic counters.)
//
// An open transaction pins the pages that it sees, so each flush brings a new
// disk; the old one ends with its last reader.
type disk struct {
	tx      *bbolt.Tx
	data    *bbolt.Bucket
	cursors sync.Pool // of *bbolt.Cursor, for single reads
	users   atomic.Int64
}

// openDisk begins a transaction; it ends at the last unpin, and has one user.
func openDisk(db *bbolt.DB) (*disk, error) {
	tx, err := db.Begin(false)
	if err != nil {
		return nil, err
	}
	d := &disk{tx: tx, data: tx.Bucket(dataBucket)}
	d.cursors.New = func() any { return d.data.Cursor() }
	d.users.Store(1)
	return d, nil
}

// pin and unpin enclose the use of a disk that somebody else may let go of.
func (d *disk) pin() { d.users.Add(1) }

func (d *disk) unpin() {
	if d.users.Add(-1) == 0 {
		_ = d.tx.Rollback() // of a read transaction: fails only if it is over
	}
}

// get copies: bbolt's memory is gone when its transaction ends.
func (d *disk) get(key []byte) (value []byte, ok bool, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	c := d.cursors.Get().(*bbolt.Cursor)
	found, stored := c.Seek(key)
	d.cursors.Put(c)
	if found == nil || !bytes.Equal(found, key) {
		return nil, false, nil
	}
	if value, err = unseal(key, stored); err != nil {
		return nil, false, err
	}
	return bytes.Clone(value), true, nil
}

// point returns how far into the log the disk reaches.
func (d *disk) point() (p Point, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	return readPoint(d.tx)
}

// diskCursor walks the pairs of a disk. At the end key is nil.
type diskCursor struct {
	c           *bbolt.Cursor
	key, sealed []byte
}

func (d *disk) seek(from []byte) (c diskCursor, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	c.c = d.data.Cursor()
	c.key, c.sealed = c.c.Seek(from)
	return c, nil
}

// value checks the value under the cursor and returns it, in bbolt's memory.
func (c *diskCursor) value() (value []byte, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	return unseal(c.key, c.sealed)
}

func (c *diskCursor) next() (err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	c.key, c.sealed = c.c.Next()
	return nil
}
