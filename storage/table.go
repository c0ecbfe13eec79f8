package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	Index uint64
	Term  uint64
	// Configuration is the newest cluster configuration that was committed when
	// the state was, opaque. Its entry brings no data, so it may lie above Index.
	Configuration      []byte
	ConfigurationIndex uint64
}

// How a writer is held where memory fills faster than the disk takes it, in
// multiples of FlushBytes. To stop it until the flush ends would make one entry
// wait for all; to slow each entry down lets the flush catch up. Slowed entries
// come to stopAt only behind a disk that hangs.
const (
	slowAt = 2 // an entry waits for the flush, for stall at most
	stopAt = 8 // an entry waits for the flush
	stall  = 50 * time.Millisecond
)

// defaultMmapSize is more than any table of sessions needs; an address space of
// 32 bits has less to give.
const defaultMmapSize = min(64<<30, math.MaxInt/4)

var errClosed = errors.New("the table is closed")

// Options of a table. The zero value is a table with the defaults.
type Options struct {
	FlushInterval time.Duration // how long a write may stay in memory alone; default 1 s
	// FlushBytes is the memory that starts a flush; default 4 MiB. A memtable never
	// has more than eight times as much and one entry. bbolt takes some ten times
	// what it flushes where keys lie all over: more is no gift.
	FlushBytes int64
	// InitialMmapSize is the address space, not memory, that is taken at once, in
	// bytes: a file that outgrows it must wait for every reader at each flush.
	// Default 64 GiB.
	InitialMmapSize int
	Logger          *slog.Logger // default: none
	// OnError is told, once, of a flush that failed, or of damage that a read has
	// met: the table cannot be believed any more. It must not call Close.
	// Default: nobody is told but the log.
	OnError func(error)
	// OnFlush is told of each flush that was committed: how long it took, its fsync
	// included, and how many bytes of pairs it wrote. It must not call the table.
	// Default: nobody is told.
	OnFlush func(took time.Duration, bytes int64)

	step func(name string) error // tests stop the table between two steps, or fail one
}

func (o Options) withDefaults() Options {
	if o.FlushInterval <= 0 {
		o.FlushInterval = time.Second
	}
	if o.FlushBytes <= 0 {
		o.FlushBytes = 4 << 20
	}
	if o.InitialMmapSize <= 0 {
		o.InitialMmapSize = defaultMmapSize
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	if o.OnFlush == nil {
		o.OnFlush = func(time.Duration, int64) {}
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
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
	retired  sync.WaitGroup // files that imports have replaced, until they are closed

	// mu guards all below.
	mu       sync.RWMutex
	changed  chan struct{} // closed, and replaced, when a flush has ended, or the table
	db       *bbolt.DB
	disk     *disk     // what readers see of db; nil while a flush may map the file anew
	mem      *memtable // takes the writes
	frozen   *memtable // being flushed; nil between flushes
	written  Point     // what mem reaches, as of the last Advance
	sealed   Point     // what frozen reaches
	durable  Point     // what the file reaches
	imports  int       // counts the states that have replaced another
	midEntry bool      // there were writes since the last Advance
	wanted   bool      // a flush is asked for
	err      error     // the first failed flush
	closed   bool
	flushes  uint64
	lastTook time.Duration
	began    time.Time // of the commit that runs, zero between commits

	told sync.Once     // OnError
	wake chan struct{} // tells the flusher that a flush is wanted
	stop chan struct{}
	done sync.WaitGroup
}

// Open opens the table in the file at path, or makes it. It fails with
// ErrLocked, ErrNewerFormat or ErrCorrupt in the error's chain.
func Open(path string, o Options) (*Table, error) {
	o = o.withDefaults()
	if err := inspect(path, o.Logger); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db, p, err := openFile(path, o.InitialMmapSize)
	if err != nil {
		return nil, err
	}
	// Only now, behind the file's lock: it might be another process's import.
	if err := os.Remove(path + importSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("remove an unfinished import: %w", err), db.Close())
	}
	d, err := openDisk(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	t := &Table{
		path: path, o: o, db: db, disk: d, mem: newMemtable(), written: p, durable: p,
		changed: make(chan struct{}), wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	t.done.Go(t.flushLoop)
	return t, nil
}

// Close flushes what is written and closes the file. It waits for the flusher,
// for readers and for exports; a second call does nothing.
func (t *Table) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.tell()
	t.mu.Unlock()
	close(t.stop)
	t.done.Wait()

	err := t.flush()
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	t.show(nil)
	t.mu.Unlock()
	t.retired.Wait()
	return errors.Join(err, t.db.Close())
}

// tell wakes all who wait for a change. The caller holds mu.
func (t *Table) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// show gives readers the file as it is now. The caller holds mu.
func (t *Table) show(next *disk) {
	if t.disk != nil {
		t.disk.unpin()
	}
	t.disk = next
}

// Write makes the batch visible to readers at once and as a whole. It takes
// over the batch's memory. Where memory fills faster than the disk takes it,
// Write waits: this is the back-pressure.
func (t *Table) Write(b *Batch) {
	b.sort()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awaitRoom()
	t.midEntry = true
	t.mem.apply(b.writes)
}

// awaitRoom holds a writer whose memtable is full behind a running flush. The
// caller holds mu, which is let go meanwhile.
func (t *Table) awaitRoom() {
	if !t.behind(slowAt) {
		return
	}
	patience := time.After(stall)
	for t.behind(stopAt) || (t.behind(slowAt) && patience != nil) {
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-patience:
			patience = nil
		}
		t.mu.Lock()
	}
}

// behind says whether mem has so many times FlushBytes behind a running flush.
// After a failed flush nothing runs, and nobody is held.
func (t *Table) behind(times int64) bool {
	return t.frozen != nil && t.mem.bytes >= times*t.o.FlushBytes && t.err == nil && !t.closed
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
