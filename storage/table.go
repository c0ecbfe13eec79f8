package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Limits of one pair, in bytes.
const (
	MaxKeyBytes   = 4 << 10
	MaxValueBytes = 4 << 20
)

// Point says how far into the log a state reaches.
type Point struct {
	Index              uint64
	Term               uint64
	Configuration      []byte // the newest cluster configuration at or below Index, opaque
	ConfigurationIndex uint64
}

// Options of a table. The zero value is a table with the defaults.
type Options struct {
	FlushInterval   time.Duration // how long a write may stay in memory alone; default 1 s
	FlushBytes      int64         // memory that starts a flush, and at which a writer waits for one; default 8 MiB
	InitialMmapSize int           // bytes of address space taken at once, so that growth need not wait for readers; default 1 GiB
	Logger          *slog.Logger  // default: none
	// OnError is told, once, of a flush that failed. It runs on the flusher's
	// goroutine and must not call Close. Default: nobody is told but the log.
	OnError func(error)

	step func(name string) // tests stop the table between two steps
}

func (o Options) withDefaults() Options {
	if o.FlushInterval <= 0 {
		o.FlushInterval = time.Second
	}
	if o.FlushBytes <= 0 {
		o.FlushBytes = 8 << 20
	}
	if o.InitialMmapSize <= 0 {
		o.InitialMmapSize = 1 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	return o
}

// Table is an ordered map of byte strings, written by one goroutine and read by
// any.
type Table struct {
	path string
	o    Options

	// flushing excludes flush and import from each other: both replace what is
	// on disk. It is taken before mu.
	flushing sync.Mutex

	// mu guards all below. Readers hold it through a whole read, so that a file
	// is not closed under them.
	mu       sync.RWMutex
	changed  *sync.Cond // on mu: a flush has ended, or the table
	db       *bbolt.DB
	mem      *memtable // takes the writes
	frozen   *memtable // being flushed; nil between flushes
	written  Point     // what mem reaches, as of the last Advance
	sealed   Point     // what frozen reaches
	durable  Point     // what the file reaches
	midEntry bool      // there were writes since the last Advance
	wanted   bool      // a flush is asked for
	err      error     // the first failed flush
	closed   bool
	flushes  uint64
	lastTook time.Duration

	wake chan struct{} // tells the flusher that a flush is wanted
	stop chan struct{}
	done sync.WaitGroup
}

// Open opens the table in the file at path, or makes it. It fails with
// ErrLocked, ErrNewerFormat or ErrCorrupt in the error's chain.
func Open(path string, o Options) (*Table, error) {
	o = o.withDefaults()
	if err := os.Remove(path + importSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove an unfinished import: %w", err)
	}
	db, p, err := openFile(path, o.InitialMmapSize)
	if err != nil {
		return nil, err
	}
	t := &Table{
		path: path, o: o, db: db, mem: newMemtable(), written: p, durable: p,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	t.changed = sync.NewCond(&t.mu)
	t.done.Go(t.flushLoop)
	return t, nil
}

// Close flushes what is written and closes the file. It waits for the flusher;
// a second call does nothing.
func (t *Table) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.changed.Broadcast()
	t.mu.Unlock()
	close(t.stop)
	t.done.Wait()

	err := t.flush()
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(err, t.db.Close())
}

// Write makes the batch visible to readers at once and as a whole. It takes
// over the batch's memory. It waits while the memory's bound is reached and a
// flush is under way: this is the back-pressure.
func (t *Table) Write(b *Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.mem.bytes >= t.o.FlushBytes && t.frozen != nil && t.err == nil && !t.closed {
		t.changed.Wait()
	}
	t.midEntry = true
	for _, w := range b.writes {
		t.mem.set(w.key, w.value, w.deleted)
	}
}

// Advance ends a log entry: all that is written so far belongs to index or
// below. Only here, or between entries, does a memtable freeze.
func (t *Table) Advance(index, term uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.midEntry = false
	if index > t.written.Index {
		t.written.Index, t.written.Term = index, term
	}
	if t.wanted || t.mem.bytes >= t.o.FlushBytes {
		t.signal()
	}
}

// Configure records the cluster's configuration, made by the entry at index.
func (t *Table) Configure(configuration []byte, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written.Configuration = append([]byte(nil), configuration...)
	t.written.ConfigurationIndex = index
}

// Durable returns how far the file reaches.
func (t *Table) Durable() Point {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.durable
}

// Batch gathers the writes of one command.
type Batch struct{ writes []write }

type write struct {
	key     []byte
	value   []byte
	deleted bool
}

// Put sets key to value. The batch keeps both: do not change them afterwards.
// It panics beyond MaxKeyBytes and MaxValueBytes: a command was let through
// that no node could store.
func (b *Batch) Put(key, value []byte) {
	if len(key) == 0 || len(key) > MaxKeyBytes || len(value) > MaxValueBytes {
		panic(fmt.Sprintf("storage: a pair of %d and %d bytes", len(key), len(value)))
	}
	b.writes = append(b.writes, write{key: key, value: value})
}

// Delete removes key, if it is there.
func (b *Batch) Delete(key []byte) {
	b.writes = append(b.writes, write{key: key, deleted: true})
}

// Len is the number of writes.
func (b *Batch) Len() int { return len(b.writes) }

// Reset empties the batch for another command.
func (b *Batch) Reset() {
	clear(b.writes)
	b.writes = b.writes[:0]
}
