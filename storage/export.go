package storage

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

const importSuffix = ".import"

// Export is the durable state at one point. It pins the file's pages: a slow
// reader makes the file grow, so spool it and Close.
type Export struct {
	Point Point
	disk  *disk
}

// Export opens the durable state; call Flush first for all that is written.
func (t *Table) Export() (*Export, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d, err := t.pinned()
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	p, err := d.point()
	if err != nil {
		d.unpin()
		return nil, fmt.Errorf("export: %w", err)
	}
	return &Export{Point: p, disk: d}, nil
}

// Each calls fn for every pair in ascending order, until an error. Key and
// value are valid during the call alone.
func (e *Export) Each(fn func(key, value []byte) error) error {
	return calmlyDo(func() error { return e.each(fn) })
}

func (e *Export) each(fn func(key, value []byte) error) error {
	c, err := e.disk.seek(nil)
	for err == nil && c.key != nil {
		var value []byte
		if value, err = c.value(); err == nil {
			err = fn(c.key, value)
		}
		if err == nil {
			err = c.next()
		}
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// Close lets the pages go. The error is always nil; a second call does nothing.
func (e *Export) Close() error {
	if e.disk != nil {
		e.disk.unpin()
		e.disk = nil
	}
	return nil
}

// Import replaces the whole table, memory included, by the pairs that fill
// puts, at point p. The new file is written beside, synced, renamed over the
// old one, and shown to readers. An error, or a crash, before the rename leaves
// the old state; an error after it also fails the table, as a flush would. It
// must not run beside Write or Advance.
func (t *Table) Import(p Point, fill func(put func(key, value []byte) error) error) error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	if err := t.unusable(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	var db *bbolt.DB
	err := calmlyDo(func() (err error) { db, err = t.writeBeside(p, fill); return err })
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	next, err := openDisk(db)
	if err != nil {
		return errors.Join(fmt.Errorf("import: %w", err), db.Close())
	}
	if err = t.o.step("import written"); err == nil {
		err = os.Rename(t.path+importSuffix, t.path)
	}
	if err != nil {
		next.unpin()
		return errors.Join(fmt.Errorf("import: %w", err), db.Close(), os.Remove(t.path+importSuffix))
	}
	// The name leads to the new state, so there is no way back to the old one.
	if err = errors.Join(t.o.step("import renamed"), syncDir(t.path)); err != nil {
		err = fmt.Errorf("import: %w", err)
	}
	t.replace(db, next, p, err)
	return err
}

// replace lets go of the old state. Its file is closed when the last export of
// it is, and the log does not wait for that.
func (t *Table) replace(db *bbolt.DB, next *disk, p Point, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.db
	t.show(next)
	t.db, t.mem, t.frozen = db, newMemtable(), nil
	t.written, t.durable, t.sealed = p, p, p
	t.midEntry, t.err = false, err
	t.imports++
	t.tell()
	t.signal() // an error is told by the flusher
	t.retired.Go(func() {
		if err := old.Close(); err != nil {
			t.o.Logger.Error("close of a replaced file failed", "file", t.path, "error", err)
		}
	})
}
