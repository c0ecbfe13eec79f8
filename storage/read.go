package storage

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// Get returns the value of key and whether there is one. The value must not be
// changed. ErrCorrupt is in the chain of an error that a bad checksum makes.
func (t *Table) Get(key []byte) (value []byte, ok bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := t.inMemory(key); n != nil {
		return n.value, !n.deleted, nil
	}
	err = t.db.View(func(tx *bbolt.Tx) error {
		value, ok, err = fromDisk(tx.Bucket(dataBucket), key)
		return err
	})
	return value, ok, err
}

// inMemory returns the newest node of key, which may be a tombstone, or nil.
func (t *Table) inMemory(key []byte) *memnode {
	if n := t.mem.get(key); n != nil || t.frozen == nil {
		return n
	}
	return t.frozen.get(key)
}

// fromDisk copies: bbolt's memory is gone when its transaction ends.
func fromDisk(data *bbolt.Bucket, key []byte) ([]byte, bool, error) {
	stored := data.Get(key)
	if stored == nil {
		return nil, false, nil
	}
	value, err := unseal(key, stored)
	if err != nil {
		return nil, false, err
	}
	return bytes.Clone(value), true, nil
}

// Scan calls fn for each pair with from ≤ key < to, in ascending order, until
// fn returns false. A nil to is the end of the table. Key and value are valid
// during the call alone. Writers wait for the scan: bound it.
func (t *Table) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	return t.View(func(r Reader) error { return r.Scan(from, to, fn) })
}

// Reader reads one consistent state.
type Reader struct {
	t    *Table
	data *bbolt.Bucket
}

// View calls fn with a Reader of one state. Writers wait for fn: keep it short.
func (t *Table) View(fn func(Reader) error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.db.View(func(tx *bbolt.Tx) error { return fn(Reader{t, tx.Bucket(dataBucket)}) })
}

// Get is Table.Get in this state.
func (r Reader) Get(key []byte) (value []byte, ok bool, err error) {
	if n := r.t.inMemory(key); n != nil {
		return n.value, !n.deleted, nil
	}
	return fromDisk(r.data, key)
}

// Scan is Table.Scan in this state. It merges the three levels; of two that
// hold a key the younger one counts.
func (r Reader) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	levels := [2]*memnode{r.t.mem.seek(from)}
	if r.t.frozen != nil {
		levels[1] = r.t.frozen.seek(from)
	}
	cursor := r.data.Cursor()
	diskKey, stored := cursor.Seek(from)
	for {
		next := diskKey
		for _, n := range levels {
			if n != nil && (next == nil || bytes.Compare(n.key, next) < 0) {
				next = n.key
			}
		}
		if next == nil || (to != nil && bytes.Compare(next, to) >= 0) {
			return nil
		}
		var young *memnode
		for i, n := range levels {
			if n != nil && bytes.Equal(n.key, next) {
				if young == nil {
					young = n
				}
				levels[i] = n.next[0]
			}
		}
		key, sealed := next, stored
		if bytes.Equal(diskKey, next) {
			diskKey, stored = cursor.Next()
		}
		if young != nil {
			if !young.deleted && !fn(young.key, young.value) {
				return nil
			}
			continue
		}
		value, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		if !fn(key, value) {
			return nil
		}
	}
}

// Scrub rereads every pair of the file, checks its checksum and gives it to fn,
// in pieces of pieceSize between which pause is called and no lock is held. fn
// may be nil. It sees pairs as they are when it comes to them, not one state.
func (t *Table) Scrub(ctx context.Context, pieceSize int, pause func(), fn func(key, value []byte) error) error {
	var from []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		last, err := t.scrubPiece(from, pieceSize, fn)
		if err != nil || last == nil {
			return err
		}
		from = append(last, 0)
		pause()
	}
}

// scrubPiece returns the last key that it has read, nil at the end.
func (t *Table) scrubPiece(from []byte, n int, fn func(key, value []byte) error) (last []byte, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	err = t.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(dataBucket).Cursor()
		key, stored := c.Seek(from)
		for ; key != nil && n > 0; key, stored = c.Next() {
			value, err := unseal(key, stored)
			if err == nil && fn != nil {
				err = fn(key, value)
			}
			if err != nil {
				return fmt.Errorf("scrub %s: %w", t.path, err)
			}
			last = append(last[:0], key...)
			n--
		}
		if key == nil {
			last = nil
		}
		return nil
	})
	return last, err
}
