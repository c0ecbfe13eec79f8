package storage

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// signal wakes the flusher. The caller holds mu.
func (t *Table) signal() {
	t.wanted = true
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// flushLoop is the flusher's goroutine.
func (t *Table) flushLoop() {
	tick := time.NewTicker(t.o.FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
		case <-t.wake:
		}
		if err := t.flush(); err != nil {
			t.o.Logger.Error("flush failed", "file", t.path, "error", err)
			t.o.OnError(err)
			return
		}
	}
}

// Flush makes everything up to the last Advance durable, and records index and
// term if they are greater than the table's own: the log has entries that
// bring no data. It returns ctx's error, or that of the flush.
func (t *Table) Flush(ctx context.Context, index, term uint64) error {
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})
	defer stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if index > t.written.Index {
		t.written.Index, t.written.Term = index, term
	}
	want := t.written
	for t.durable.Index < want.Index || t.durable.ConfigurationIndex < want.ConfigurationIndex {
		switch {
		case t.err != nil:
			return t.err
		case ctx.Err() != nil:
			return fmt.Errorf("flush: %w", ctx.Err())
		case t.closed:
			return fmt.Errorf("flush: the table is closed")
		}
		t.signal()
		t.changed.Wait()
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
	t.o.step("frozen")
	began := time.Now()
	err := t.commit()
	t.o.step("committed")

	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.err = fmt.Errorf("flush %s: %w", t.path, err)
	} else {
		t.durable, t.frozen = t.sealed, nil
		t.flushes++
		t.lastTook = time.Since(began)
	}
	t.changed.Broadcast()
	return t.err
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
	return true
}

func (t *Table) failed() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.err
}

// commit writes the frozen memtable, in key order, and its point in one fsynced
// transaction. frozen and sealed stay as they are while flushing is held.
func (t *Table) commit() error {
	return t.db.Update(func(tx *bbolt.Tx) error {
		data := tx.Bucket(dataBucket)
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
		t.o.step("written")
		return writePoint(tx, t.sealed)
	})
}
