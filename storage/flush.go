package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

// How full bbolt leaves a page that it splits. Records and events are appended,
// and would leave half of every page empty for ever at bbolt's default of 0.5;
// index keys lie all over, and need room where they split.
const (
	mixedFill   = 0.75
	orderedFill = 0.95 // an import's pairs all come in order
)

// signal wakes the flusher. The caller holds mu.
func (t *Table) signal() {
	t.wanted = true
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// flushLoop is the flusher's goroutine. It has the flushes done by one that
// yields the processor to those who answer, and does them itself where one such
// was too slow for what is written.
func (t *Table) flushLoop() {
	calm, flushed := make(chan struct{}), make(chan error)
	defer close(calm)
	t.done.Go(func() {
		calmly()
		for range calm {
			flushed <- t.flush()
		}
	})
	tick := time.NewTicker(t.o.FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
		case <-t.wake:
		}
		var err error
		if t.pressed() {
			err = t.flush()
		} else {
			calm <- struct{}{}
			err = <-flushed
		}
		if err != nil {
			t.o.Logger.Error("flush failed", "file", t.path, "error", err)
			t.told.Do(func() { t.o.OnError(err) })
			return
		}
	}
}

// pressed says whether so much has gathered that writers would soon have to wait.
func (t *Table) pressed() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mem.bytes >= slowAt*t.o.FlushBytes
}

// Flush makes everything up to the last Advance durable, and records index and
// term if they are greater than the table's own: the log has entries that
// bring no data. It returns ctx's error, or that of the flush, or one that says
// that the state was replaced meanwhile.
func (t *Table) Flush(ctx context.Context, index, term uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if index > t.written.Index {
		t.written.Index, t.written.Term = index, term
	}
	want, imports := t.written, t.imports
	if t.err != nil {
		return t.err
	}
	for t.durable.Index < want.Index || t.durable.ConfigurationIndex < want.ConfigurationIndex {
		switch {
		case t.err != nil:
			return t.err
		case t.imports != imports:
			return errors.New("flush: an import has replaced the state")
		case t.closed:
			return fmt.Errorf("flush: %w", errClosed)
		}
		t.signal()
		changed := t.changed
		t.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("flush: %w", ctx.Err())
		}
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// flush freezes the memtable and commits it. In the middle of an entry it
// leaves the wish standing: the entry's Advance wakes the flusher again.
func (t *Table) flush() error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	if !t.freeze() {
		return t.failed()
	}
	began := time.Now()
	t.committing(began)
	next, err := t.commit()

	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = time.Time{}
	if err != nil {
		t.err = fmt.Errorf("flush %s: %w", t.path, err)
	} else {
		t.show(next)
		bytes := t.frozen.bytes
		t.durable, t.frozen = t.sealed, nil
		t.flushes++
		t.lastTook = time.Since(began)
		t.o.OnFlush(t.lastTook, bytes)
	}
	t.tell()
	return t.err
}

func (t *Table) committing(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = since
}

// Committing is how long the commit that runs now has taken so far, 0 between
// commits. A disk that hangs is seen here first: writers go on in memory.
func (t *Table) Committing() time.Duration {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.began.IsZero() {
		return 0
	}
	return time.Since(t.began)
}

// freeze says whether there is now something frozen to commit.
func (t *Table) freeze() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.midEntry {
		t.wanted = true
		return false
	}
	t.wanted = false
	clean := t.mem.len == 0 && t.written.Index == t.durable.Index && t.written.ConfigurationIndex == t.durable.ConfigurationIndex
	if t.err != nil || clean {
		return false
	}
	t.frozen, t.mem, t.sealed = t.mem, newMemtable(), t.written
	if t.disk.tx.Size()+growth(t.frozen) > int64(t.o.InitialMmapSize) {
		// The commit may have to map the file anew, and would wait for ever for a
		// transaction that ends after it. Readers take one each meanwhile.
		t.show(nil)
	}
	return true
}

// growth bounds what a commit of m can add to the file: each pair changes a
// leaf, the leaf may merge with its neighbour, and as many branches lie above;
// what is new fills pages by half at least.
func growth(m *memtable) int64 {
	const meta = 1 << 20
	return meta + 4*m.bytes + 4*int64(m.len)*int64(os.Getpagesize())
}

func (t *Table) failed() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.err
}

// unusable returns why the table takes nothing more, or nil.
func (t *Table) unusable() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return errClosed
	}
	return t.err
}

// commit writes the frozen memtable and its point in one fsynced transaction,
// and returns what readers are to see then. frozen and sealed stay as they are
// while flushing is held.
func (t *Table) commit() (next *disk, err error) {
	defer damaged(&err, debug.SetPanicOnFault(true))
	if err := t.o.step("frozen"); err != nil {
		return nil, err
	}
	if err := t.db.Update(t.writeFrozen); err != nil {
		return nil, err
	}
	if err := t.o.step("committed"); err != nil {
		return nil, err
	}
	return openDisk(t.db)
}

// writeFrozen puts the pairs in the order of their keys: bbolt fills pages then.
func (t *Table) writeFrozen(tx *bbolt.Tx) error {
	data := tx.Bucket(dataBucket)
	data.FillPercent = mixedFill
	for n := t.frozen.head.next[0]; n != nil; n = n.next[0] {
		var err error
		if n.deleted {
			err = data.Delete(n.key)
		} else {
			err = data.Put(n.key, seal(n.key, n.value))
		}
		if err != nil {
			return err
		}
	}
	if err := t.o.step("written"); err != nil {
		return err
	}
	return writePoint(tx, t.sealed)
}
