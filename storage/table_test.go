package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// TestMain keeps the model test short: each of its checks waits for the disk
// some hundred times. -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// quiet options flush when they are told to, and take little address space.
func quiet() Options {
	return Options{FlushInterval: time.Hour, InitialMmapSize: 1 << 20}
}

// newTestTable opens a table whose clean-up closes it and checks the file.
func newTestTable(t testing.TB, o Options) *Table {
	t.Helper()
	table, err := Open(filepath.Join(t.TempDir(), "state.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		checkFile(t, table.path)
	})
	return table
}

func checkFile(t testing.TB, path string) {
	t.Helper()
	db, _, err := openFile(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return tx.Bucket(dataBucket).ForEach(func(k, v []byte) error {
			if _, err := unseal(k, v); err != nil {
				t.Error(err)
			}
			return nil
		})
	})
}

func put(table *Table, pairs map[string]string) {
	var b Batch
	for k, v := range pairs {
		b.Put([]byte(k), []byte(v))
	}
	table.Write(&b)
}

func contents(t interface{ Fatal(...any) }, table *Table) map[string]string {
	got := map[string]string{}
	var last []byte
	if err := table.Scan(nil, nil, func(k, v []byte) bool {
		if last != nil && bytes.Compare(last, k) >= 0 {
			t.Fatal("the scan is not in order")
		}
		last = bytes.Clone(k)
		got[string(k)] = string(v)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// tableModel is what a table must do, over a map.
type tableModel struct {
	dir     string
	lives   int
	table   *Table
	state   map[string]string            // what readers see
	history map[uint64]map[string]string // state at the end of each entry
	index   uint64
	onStep  atomic.Pointer[func(name string)] // the flusher reads it too
}

func (m *tableModel) open(t *rapid.T) {
	o := quiet()
	o.step = m.step
	table, err := Open(m.path(), o)
	if err != nil {
		t.Fatal(err)
	}
	m.table = table
}

func (m *tableModel) step(name string) error {
	if fn := m.onStep.Load(); fn != nil {
		(*fn)(name)
	}
	return nil
}

func (m *tableModel) path() string { return filepath.Join(m.dir, fmt.Sprintf("state-%d.db", m.lives)) }

// crash continues on a copy of the files as they are: what a kill leaves.
func (m *tableModel) crash(t *rapid.T) {
	old := m.path()
	m.lives++
	for _, suffix := range []string{"", importSuffix} {
		data, err := os.ReadFile(old + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.path()+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// resume opens what a crash left and holds it against the durable point.
func (m *tableModel) resume(t *rapid.T) {
	m.open(t)
	m.index = m.table.Durable().Index
	want, ok := m.history[m.index]
	if !ok {
		t.Fatalf("the durable point is %d, at which no entry ended", m.index)
	}
	m.state = maps.Clone(want)
	m.check(t)
}

func (m *tableModel) check(t *rapid.T) {
	if got := contents(t, m.table); !maps.Equal(got, m.state) {
		t.Fatalf("the table holds %v, want %v", got, m.state)
	}
	for _, k := range []string{"a", "bb", "ccc"} {
		v, ok, err := m.table.Get([]byte(k))
		want, there := m.state[k]
		if err != nil || ok != there || string(v) != want {
			t.Fatalf("Get(%s) = %s, %v, %v; want %s, %v", k, v, ok, err, want, there)
		}
	}
}

func TestTheTableIsAMapThatSurvivesACrashBetweenAnyTwoSteps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &tableModel{dir: t.TempDir(), state: map[string]string{}, history: map[uint64]map[string]string{0: {}}}
		m.open(rt)
		defer func() { _ = m.table.Close() }()
		keys := rapid.SampledFrom([]string{"a", "bb", "ccc", "d", "e", "f"})
		steps := []string{"", "frozen", "written", "committed"}
		rt.Repeat(map[string]func(*rapid.T){
			"entry": func(rt *rapid.T) { m.entry(rt, keys) },
			"flush": func(rt *rapid.T) { m.flush(rt, rapid.SampledFrom(steps).Draw(rt, "crash at")) },
			"import": func(rt *rapid.T) {
				m.replace(rt, rapid.SampledFrom([]string{"", "filling", "import written", "import renamed"}).Draw(rt, "crash at"))
			},
			"quiet":  func(rt *rapid.T) { m.quietEntries(rt, keys) },
			"kill":   func(rt *rapid.T) { old := m.table; m.crash(rt); _ = old.Close(); m.resume(rt) },
			"reopen": m.reopen,
			"":       m.check,
		})
	})
}

func (m *tableModel) entry(rt *rapid.T, keys *rapid.Generator[string]) {
	m.write(rt, keys)
	m.advance()
}

func (m *tableModel) write(rt *rapid.T, keys *rapid.Generator[string]) {
	for range rapid.IntRange(0, 3).Draw(rt, "commands") {
		var b Batch
		for range rapid.IntRange(0, 4).Draw(rt, "writes") {
			k := keys.Draw(rt, "key")
			if rapid.Bool().Draw(rt, "delete") {
				b.Delete([]byte(k))
				delete(m.state, k)
			} else {
				v := rapid.StringN(0, 5, 10).Draw(rt, "value")
				b.Put([]byte(k), []byte(v))
				m.state[k] = v
			}
		}
		m.table.Write(&b)
	}
}

func (m *tableModel) advance() {
	m.index++
	m.table.Advance(m.index, 1)
	m.history[m.index] = maps.Clone(m.state)
}

func (m *tableModel) flush(rt *rapid.T, at string) {
	if m.crashes(rt, at, m.table.flush) {
		m.resume(rt)
		return
	}
	if got := m.table.Durable().Index; got != m.index {
		rt.Fatalf("durable %d after a flush at %d", got, m.index)
	}
}

// quietEntries are log entries that bring no data: Raft tells of them when it
// asks for a flush, maybe in the middle of the entry after them.
func (m *tableModel) quietEntries(rt *rapid.T, keys *rapid.Generator[string]) {
	m.index += rapid.Uint64Range(1, 3).Draw(rt, "entries")
	m.history[m.index] = maps.Clone(m.state)
	if rapid.Bool().Draw(rt, "a configuration") {
		m.table.Configure(fmt.Append(nil, m.index), m.index)
	}
	if !rapid.Bool().Draw(rt, "in the middle of an entry") {
		if err := m.table.Flush(rt.Context(), m.index, 1); err != nil {
			rt.Fatal(err)
		}
		return
	}
	m.table.Write(&Batch{}) // begins an entry, if there are no commands
	m.write(rt, keys)
	flushed := make(chan error)
	go func(index uint64) { flushed <- m.table.Flush(context.Background(), index, 1) }(m.index)
	if err := m.table.flush(); err != nil { // whatever the other has come to
		rt.Fatal(err)
	}
	// The table learns of m.index from that Flush alone, after the entry began.
	if got := m.table.Durable().Index; got >= m.index {
		rt.Fatalf("half an entry was flushed: durable %d", got)
	}
	m.advance()
	if err := <-flushed; err != nil {
		rt.Fatal(err)
	}
}

func (m *tableModel) replace(rt *rapid.T, at string) {
	next := map[string]string{"a": fmt.Sprint(m.index), "z": "new"}
	index := m.index + 10
	crashed := m.crashes(rt, at, func() error {
		return m.table.Import(Point{Index: index, Term: 2}, func(put func(k, v []byte) error) error {
			for _, k := range slices.Sorted(maps.Keys(next)) {
				if err := put([]byte(k), []byte(next[k])); err != nil {
					return err
				}
				_ = m.step("filling")
			}
			return nil
		})
	})
	m.history[index] = maps.Clone(next)
	if crashed {
		m.resume(rt)
		if renamed := at == "import renamed"; renamed != (m.index == index) {
			rt.Fatalf("after a crash at %q the table is at %d", at, m.index)
		}
		return
	}
	m.index, m.state = index, next
}

// crashes runs work; where it comes to the step named at, it takes the files as
// they are, before anything is rolled back or closed.
func (m *tableModel) crashes(rt *rapid.T, at string, work func() error) (crashed bool) {
	old := m.table
	onStep := func(name string) {
		if name == at && !crashed {
			m.crash(rt)
			crashed = true
		}
	}
	m.onStep.Store(&onStep)
	if err := work(); err != nil {
		rt.Fatal(err)
	}
	m.onStep.Store(nil)
	if crashed {
		_ = old.Close()
	}
	return crashed
}

func (m *tableModel) reopen(rt *rapid.T) {
	if err := m.table.Close(); err != nil {
		rt.Fatal(err)
	}
	m.open(rt)
	if got := m.table.Durable().Index; got != m.index {
		rt.Fatalf("durable %d after a clean close at %d", got, m.index)
	}
}

func TestReadersSeeTheYoungestOfThreeLevels(t *testing.T) {
	o := quiet()
	held := make(chan struct{})
	frozen := make(chan struct{})
	calls := 0
	o.step = func(name string) error {
		if name == "frozen" {
			if calls++; calls == 2 {
				close(frozen)
				<-held
			}
		}
		return nil
	}
	table := newTestTable(t, o)
	put(table, map[string]string{"a": "disk", "b": "disk", "c": "disk", "d": "disk"})
	table.Advance(1, 1)
	if err := table.Flush(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Put([]byte("b"), []byte("frozen"))
	b.Delete([]byte("c"))
	table.Write(&b)
	table.Advance(2, 1)
	flushed := make(chan error)
	go func() { flushed <- table.Flush(context.Background(), 2, 1) }()
	<-frozen
	var top Batch
	top.Put([]byte("c"), []byte("memory"))
	top.Delete([]byte("d"))
	table.Write(&top)
	table.Advance(3, 1)
	want := map[string]string{"a": "disk", "b": "frozen", "c": "memory"}
	if got := contents(t, table); !maps.Equal(got, want) {
		t.Errorf("three levels read as %v", got)
	}
	if got := table.Durable().Index; got != 1 {
		t.Errorf("durable %d while the flush is held", got)
	}
	close(held)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if got := contents(t, table); !maps.Equal(got, want) {
		t.Errorf("after the flush: %v", got)
	}
}

func TestAFullMemtableBehindAFlushSlowsTheWriterAndThenHoldsIt(t *testing.T) {
	o := quiet()
	o.FlushBytes = 10_000
	held, frozen := make(chan struct{}), make(chan struct{}, 8)
	o.step = func(name string) error {
		if name == "frozen" {
			frozen <- struct{}{}
			<-held
		}
		return nil
	}
	table := newTestTable(t, o)
	index := uint64(0)
	entry := func(bytes int) (took time.Duration) {
		began := time.Now()
		index++
		put(table, map[string]string{fmt.Sprint(index): string(make([]byte, bytes))})
		table.Advance(index, 1)
		return time.Since(began)
	}
	entry(10_000)
	<-frozen
	entry(20_000) // fills the second
	for _, bytes := range []int{1, 60_000} {
		if took := entry(bytes); took < stall {
			t.Errorf("behind a flush an entry took %v alone", took)
		}
	}
	wrote := make(chan struct{})
	go func() { entry(1); close(wrote) }()
	select {
	case <-wrote:
		t.Error("the writer was not held")
	case <-time.After(3 * stall):
	}
	close(held)
	<-wrote
}

func TestAFlippedByteIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.db")
	o := quiet()
	var told []error
	o.OnError = func(err error) { told = append(told, err) }
	broken, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	// The second pair is too large for a bucket within its parent's page, which bbolt would copy.
	put(broken, map[string]string{"key": "value-to-be-broken", "large": string(benchValue(10_000, 1))})
	broken.Advance(1, 1)
	if err := broken.Flush(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte("value-to-be-broken"), []byte("Value-to-be-broken"))
	if _, err := file.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".copy", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if reopened, err := Open(path+".copy", quiet()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a table with that byte was opened: %v, %v", reopened, err)
	}
	if _, _, err := broken.Get([]byte("key")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Get: %v", err)
	}
	if err := broken.Scan(nil, nil, func(k, v []byte) bool { return true }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Scan: %v", err)
	}
	if err := broken.Scrub(t.Context(), 10, func() {}, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Scrub: %v", err)
	}
	if len(told) != 1 || !errors.Is(told[0], ErrCorrupt) {
		t.Errorf("told of it: %v", told)
	}
	e, err := broken.Export()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Each(func(k, v []byte) error { return nil }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Export: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesANewerFormatAndALockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, _, err := openFile(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, quiet()); !errors.Is(err, ErrLocked) {
		t.Errorf("a locked file: %v", err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint16(nil, FormatVersion+1))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, quiet()); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("a newer format: %v", err)
	}
}

func TestThePointCarriesTheConfigurationAndTheGreaterIndex(t *testing.T) {
	table := newTestTable(t, quiet())
	put(table, map[string]string{"a": "1"})
	table.Advance(3, 1)
	table.Configure([]byte("servers"), 4)
	if err := table.Flush(t.Context(), 7, 2); err != nil {
		t.Fatal(err)
	}
	if p := table.Durable(); p.Index != 7 || p.Term != 2 || string(p.Configuration) != "servers" || p.ConfigurationIndex != 4 {
		t.Errorf("%+v", p)
	}
	e, err := table.Export()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Point.Index != 7 || string(e.Point.Configuration) != "servers" {
		t.Errorf("the export is of %+v", e.Point)
	}
}

func TestAFailedFlushIsToldOnceAndHoldsNobody(t *testing.T) {
	o := quiet()
	o.FlushBytes = 1
	told := make(chan error, 2)
	o.OnError = func(err error) { told <- err }
	gone := errors.New("the disk is gone")
	o.step = func(name string) error {
		if name == "written" {
			return gone
		}
		return nil
	}
	table, err := Open(filepath.Join(t.TempDir(), "state.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	put(table, map[string]string{"a": "1"})
	table.Advance(1, 1)
	if err := table.Flush(t.Context(), 1, 1); !errors.Is(err, gone) {
		t.Errorf("Flush: %v", err)
	}
	if err := <-told; !errors.Is(err, gone) {
		t.Errorf("OnError: %v", err)
	}
	for i := range uint64(10) {
		put(table, map[string]string{fmt.Sprint(i): "a writer goes on until the node has stopped"})
		table.Advance(2+i, 1)
	}
	if v, ok, err := table.Get([]byte("a")); string(v) != "1" || !ok || err != nil {
		t.Errorf("Get: %s, %v, %v", v, ok, err)
	}
	if err := table.Flush(t.Context(), 99, 1); !errors.Is(err, gone) {
		t.Errorf("another Flush: %v", err)
	}
	if err := table.Import(Point{Index: 100}, nil); !errors.Is(err, gone) {
		t.Errorf("Import: %v", err)
	}
	if err := table.Close(); !errors.Is(err, gone) {
		t.Errorf("Close: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if len(told) != 0 {
		t.Error("it was told twice")
	}
}

func TestReadersAndTheWriterDoNotDisturbEachOther(t *testing.T) {
	o := quiet()
	o.FlushBytes = 20_000
	table := newTestTable(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	readers := make(chan error, 2)
	for range cap(readers) {
		go func() {
			var seen uint64
			for ctx.Err() == nil {
				v, ok, err := table.Get([]byte("counter"))
				if err != nil {
					readers <- err
					return
				}
				if !ok {
					continue
				}
				n := binary.BigEndian.Uint64(v)
				if n < seen {
					readers <- fmt.Errorf("read %d after %d", n, seen)
					return
				}
				seen = n
			}
			readers <- nil
		}()
	}
	for i := uint64(1); i <= 2000; i++ {
		var b Batch
		b.Put([]byte("counter"), binary.BigEndian.AppendUint64(nil, i))
		b.Put(binary.BigEndian.AppendUint64([]byte("k"), i), make([]byte, 100))
		table.Write(&b)
		table.Advance(i, 1)
	}
	cancel()
	for range cap(readers) {
		if err := <-readers; err != nil {
			t.Error(err)
		}
	}
}

func TestAFileOfVersion1OpensForEver(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "v1.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if got := contents(t, table); !maps.Equal(got, map[string]string{"a": "1", "b": ""}) {
		t.Errorf("%v", got)
	}
	if p := table.Durable(); p.Index != 42 || p.Term != 7 || string(p.Configuration) != "c" || p.ConfigurationIndex != 41 {
		t.Errorf("%+v", p)
	}
}
