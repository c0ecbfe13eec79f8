package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Get returns the value of key and whether there is one. The value must not be
// changed. ErrCorrupt is in the chain of an error that damage makes.
func (t *Table) Get(key []byte) (value []byte, ok bool, err error) {
	t.mu.RLock()
	if n := t.inMemory(key); n != nil {
		value, ok = n.value, !n.deleted
		t.mu.RUnlock()
		return value, ok, nil
	}
	// The file is read without the lock: no writer waits for a page to come in.
	d, err := t.pinned()
	t.mu.RUnlock()
	if err != nil {
		return nil, false, err
	}
	defer d.unpin()
	value, ok, err = d.get(key)
	return value, ok, t.report(err)
}

// report tells of damage, which OnError should know of whoever meets it.
func (t *Table) report(err error) error {
	if errors.Is(err, ErrCorrupt) {
		t.told.Do(func() { t.o.OnError(err) })
	}
	return err
}

// inMemory returns the newest node of key, which may be a tombstone, or nil.
// The caller holds mu.
func (t *Table) inMemory(key []byte) *memnode {
	if n := t.mem.get(key); n != nil || t.frozen == nil {
		return n
	}
	return t.frozen.get(key)
}

// pinned returns the file as of the last flush; unpin it. The caller holds mu.
func (t *Table) pinned() (*disk, error) {
	if t.disk != nil {
		t.disk.pin()
		return t.disk, nil
	}
	if t.closed {
		return nil, errClosed
	}
	return openDisk(t.db) // the flush under way may have to map the file anew
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
	disk *disk
}

// View calls fn with a Reader of one state. Writers wait for fn: keep it short.
func (t *Table) View(fn func(Reader) error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d, err := t.pinned()
	if err != nil {
		return err
	}
	defer d.unpin()
	return t.report(fn(Reader{t, d}))
}

// Get is Table.Get in this state.
func (r Reader) Get(key []byte) (value []byte, ok bool, err error) {
	if n := r.t.inMemory(key); n != nil {
		return n.value, !n.deleted, nil
	}
	return r.disk.get(key)
}

// Scan is Table.Scan in this state. It merges the three levels; of two that
// hold a key the younger one counts.
func (r Reader) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	levels := [2]*memnode{r.t.mem.seek(from)}
	if r.t.frozen != nil {
		levels[1] = r.t.frozen.seek(from)
	}
	file, err := r.disk.seek(from)
	for err == nil {
		next := file.key
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
		passed := bytes.Equal(file.key, next)
		var value []byte
		if young != nil {
			value = young.value
		} else if value, err = file.value(); err != nil {
			return err
		}
		if (young == nil || !young.deleted) && !fn(next, value) {
			return nil
		}
		if passed {
			err = file.next()
		}
	}
	return err
}

// Scrub rereads every pair of the file, checks its checksum and gives it to fn,
// in pieces of pieceSize pairs, between which pause is called. fn may be nil. It
// holds no lock, and sees pairs as they are when it comes to them, not one state.
func (t *Table) Scrub(ctx context.Context, pieceSize int, pause func(), fn func(key, value []byte) error) error {
	if pieceSize < 1 {
		return fmt.Errorf("scrub: pieces of %d pairs", pieceSize)
	}
	if fn == nil {
		fn = func(key, value []byte) error { return nil }
	}
	var from []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		last, err := t.scrubPiece(from, pieceSize, fn)
		if err != nil {
			return t.report(fmt.Errorf("scrub %s: %w", t.path, err))
		}
		if last == nil {
			return nil
		}
		from = append(last, 0)
		pause()
	}
}

// scrubPiece returns the last key that it has read, nil at the end.
func (t *Table) scrubPiece(from []byte, n int, fn func(key, value []byte) error) (last []byte, err error) {
	t.mu.RLock()
	d, err := t.pinned()
	t.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	defer d.unpin()
	c, err := d.seek(from)
	for ; err == nil && c.key != nil && n > 0; n-- {
		value, err := c.value()
		if err == nil {
			err = fn(c.key, value)
		}
		if err != nil {
			return nil, err
		}
		last = append(last[:0], c.key...)
		if err = c.next(); err != nil {
			return nil, err
		}
	}
	if c.key == nil {
		last = nil
	}
	return last, err
}
