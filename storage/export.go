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
	tx    *bbolt.Tx
}

// Export opens the durable state; call Flush first for all that is written.
func (t *Table) Export() (*Export, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tx, err := t.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	p, err := readPoint(tx)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &Export{Point: p, tx: tx}, nil
}

// Each calls fn for every pair in ascending order, until an error. Key and
// value are valid during the call alone.
func (e *Export) Each(fn func(key, value []byte) error) error {
	c := e.tx.Bucket(dataBucket).Cursor()
	for key, stored := c.First(); key != nil; key, stored = c.Next() {
		value, err := unseal(key, stored)
		if err == nil {
			err = fn(key, value)
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// Close lets the pages go. It must be called once.
func (e *Export) Close() error { return e.tx.Rollback() }

// Import replaces the whole table, memory included, by the pairs that fill
// puts, at point p. The new file is written beside, synced, renamed over the
// old one, and swapped in under the lock that every reader takes. An error, or
// a crash before the rename, leaves the old state. It must not run beside Write
// or Advance.
func (t *Table) Import(p Point, fill func(put func(key, value []byte) error) error) error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	db, err := t.writeBeside(p, fill)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	t.o.step("import written")
	if err := os.Rename(t.path+importSuffix, t.path); err != nil {
		return errors.Join(fmt.Errorf("import: %w", err), db.Close())
	}
	t.o.step("import renamed")
	if err := syncDir(t.path); err != nil {
		return errors.Join(fmt.Errorf("import: %w", err), db.Close())
	}

	t.mu.Lock()
	old := t.db
	t.db, t.mem, t.frozen = db, newMemtable(), nil
	t.written, t.durable, t.sealed = p, p, p
	t.midEntry = false
	t.changed.Broadcast()
	t.mu.Unlock()
	return old.Close() // waits for exports of the old state
}

// writeBeside returns the new file, open and synced. It is not yet the table's,
// so its transactions need no fsync of their own.
func (t *Table) writeBeside(p Point, fill func(put func(key, value []byte) error) error) (*bbolt.DB, error) {
	path := t.path + importSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, _, err := openFile(path, t.o.InitialMmapSize)
	if err != nil {
		return nil, err
	}
	db.NoSync = true
	w := importer{db: db}
	if err = fill(w.put); err == nil {
		err = w.finish(p)
	}
	if err == nil {
		err = db.Sync()
	}
	if err != nil {
		w.abort()
		return nil, errors.Join(err, db.Close(), os.Remove(path))
	}
	db.NoSync = false
	return db, nil
}

const importPairs = 10_000 // of one transaction

type importer struct {
	db *bbolt.DB
	tx *bbolt.Tx
	n  int
}

func (w *importer) put(key, value []byte) (err error) {
	if w.tx == nil {
		if w.tx, err = w.db.Begin(true); err != nil {
			return err
		}
	}
	data := w.tx.Bucket(dataBucket)
	data.FillPercent = 0.95 // pairs come in order
	if err := data.Put(key, seal(key, value)); err != nil {
		return err
	}
	if w.n++; w.n%importPairs == 0 {
		err, w.tx = w.tx.Commit(), nil
	}
	return err
}

func (w *importer) finish(p Point) error {
	if w.tx != nil {
		tx := w.tx
		w.tx = nil
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return w.db.Update(func(tx *bbolt.Tx) error { return writePoint(tx, p) })
}

func (w *importer) abort() {
	if w.tx != nil {
		_ = w.tx.Rollback()
	}
}

// Stats of a table.
type Stats struct {
	MemoryBytes int64 // in the memtables
	FileBytes   int64
	Flushes     uint64
	FlushTook   float64 // seconds of the last flush
	FreePages   int
	OpenReads   int
	Durable     uint64 // index
}

// Stats returns figures for the operator.
func (t *Table) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := Stats{
		MemoryBytes: t.mem.bytes, Flushes: t.flushes, FlushTook: t.lastTook.Seconds(), Durable: t.durable.Index,
		FreePages: t.db.Stats().FreePageN, OpenReads: t.db.Stats().OpenTxN,
	}
	if t.frozen != nil {
		s.MemoryBytes += t.frozen.bytes
	}
	_ = t.db.View(func(tx *bbolt.Tx) error { s.FileBytes = tx.Size(); return nil })
	return s
}
