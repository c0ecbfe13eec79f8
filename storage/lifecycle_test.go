package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// one fills an import with a single pair.
func one(key, value string) func(func(k, v []byte) error) error {
	return func(put func(k, v []byte) error) error { return put([]byte(key), []byte(value)) }
}

func TestAnExportOutlivesAnImportAndDoesNotHoldIt(t *testing.T) {
	table := newTestTable(t, quiet())
	put(table, map[string]string{"a": "old"})
	table.Advance(1, 1)
	if err := table.Flush(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	e, err := table.Export()
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Import(Point{Index: 9, Term: 2}, one("a", "new")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := e.Each(func(k, v []byte) error { got[string(k)] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	if e.Point.Index != 1 || !maps.Equal(got, map[string]string{"a": "old"}) {
		t.Errorf("the export is %v at %d", got, e.Point.Index)
	}
	if got := contents(t, table); !maps.Equal(got, map[string]string{"a": "new"}) {
		t.Errorf("the table is %v", got)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnImportThatFailsLeavesTheOldState(t *testing.T) {
	gone := errors.New("the archive ends here")
	for name, c := range map[string]struct {
		at    string
		fatal bool
	}{
		"while it is filled":  {at: "filling"},
		"before the rename":   {at: "import written"},
		"after it, for good":  {at: "import renamed", fatal: true},
		"with a bad key":      {at: "bad key"},
		"with nothing at all": {at: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan error, 1)
			o := quiet()
			o.OnError = func(err error) { told <- err }
			o.step = func(name string) error {
				if name == c.at {
					return gone
				}
				return nil
			}
			table, err := Open(filepath.Join(t.TempDir(), "state.db"), o)
			if err != nil {
				t.Fatal(err)
			}
			put(table, map[string]string{"a": "old"})
			table.Advance(1, 1)
			err = table.Import(Point{Index: 9, Term: 2}, func(put func(k, v []byte) error) error {
				switch c.at {
				case "bad key":
					return put(nil, nil)
				case "nothing":
					return gone
				}
				return errors.Join(put([]byte("a"), []byte("new")), o.step("filling"))
			})
			if err == nil {
				t.Fatal("the import passed")
			}
			if c.fatal {
				if err := <-told; !errors.Is(err, gone) {
					t.Errorf("OnError: %v", err)
				}
				if err := table.Flush(t.Context(), 9, 2); !errors.Is(err, gone) {
					t.Errorf("Flush: %v", err)
				}
				if err := table.Close(); !errors.Is(err, gone) {
					t.Errorf("Close: %v", err)
				}
				return
			}
			if got := contents(t, table); !maps.Equal(got, map[string]string{"a": "old"}) {
				t.Errorf("the table is %v", got)
			}
			if err := table.Flush(t.Context(), 2, 1); err != nil {
				t.Error(err)
			}
			if err := table.Close(); err != nil {
				t.Error(err)
			}
			checkFile(t, table.path)
			if again, err := Open(table.path, quiet()); err != nil || again.Durable().Index != 2 {
				t.Errorf("it opens as another: %v", err)
			} else if err := again.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(table.path + importSuffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the failed import was left: %v", err)
			}
		})
	}
}

func TestAFlushThatAnImportOvertakesSaysSo(t *testing.T) {
	table := newTestTable(t, quiet())
	put(table, map[string]string{"a": "1"})
	table.Advance(5, 1)
	table.Configure([]byte("servers"), 5)
	filling, fill := make(chan struct{}), make(chan struct{})
	imported := make(chan error)
	go func() {
		imported <- table.Import(Point{Index: 5, Term: 1}, func(put func(k, v []byte) error) error {
			close(filling)
			<-fill
			return nil
		})
	}()
	<-filling
	flushed := make(chan error)
	go func() { flushed <- table.Flush(context.Background(), 5, 1) }()
	for !wanted(table) {
		runtime.Gosched()
	}
	close(fill)
	if err := <-imported; err != nil {
		t.Error(err)
	}
	if err := <-flushed; err == nil {
		t.Error("the flush of a configuration that is gone passed")
	}
}

func wanted(table *Table) bool {
	table.mu.RLock()
	defer table.mu.RUnlock()
	return table.wanted
}

func TestAFlushEndsWithItsContext(t *testing.T) {
	o := quiet()
	held := make(chan struct{})
	o.step = func(name string) error {
		if name == "frozen" {
			<-held
		}
		return nil
	}
	table := newTestTable(t, o)
	put(table, map[string]string{"a": "1"})
	table.Advance(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Flush(ctx, 1, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(held)
}

func TestCloseReleasesWhoeverWaits(t *testing.T) {
	o := quiet()
	o.FlushBytes = 1000
	held, frozen := make(chan struct{}), make(chan struct{}, 8)
	o.step = func(name string) error {
		if name == "frozen" {
			frozen <- struct{}{}
			<-held
		}
		return nil
	}
	table := newTestTable(t, o)
	put(table, map[string]string{"a": string(make([]byte, 2000))})
	table.Advance(1, 1)
	<-frozen
	put(table, map[string]string{"b": string(make([]byte, 9000))})
	table.Advance(2, 1)
	var waiting sync.WaitGroup
	waiting.Go(func() { put(table, map[string]string{"c": "x"}); table.Advance(3, 1) })
	waiting.Go(func() { _ = table.Flush(context.Background(), 2, 1) })
	waiting.Go(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	waiting.Go(func() { _ = table.Import(Point{Index: 4}, one("d", "y")) })
	close(held)
	waiting.Wait()
}

func TestAClosedTableAnswersWithErrors(t *testing.T) {
	table := newTestTable(t, quiet())
	put(table, map[string]string{"a": "1"})
	table.Advance(1, 1)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Get([]byte("a")); err == nil {
		t.Error("Get passed")
	}
	if err := table.Scan(nil, nil, func(k, v []byte) bool { return true }); err == nil {
		t.Error("Scan passed")
	}
	if err := table.Scrub(t.Context(), 1, func() {}, nil); err == nil {
		t.Error("Scrub passed")
	}
	if _, err := table.Export(); err == nil {
		t.Error("Export passed")
	}
	if err := table.Import(Point{Index: 2}, one("a", "2")); err == nil {
		t.Error("Import passed")
	}
	if err := table.Flush(t.Context(), 2, 1); err == nil {
		t.Error("Flush passed")
	}
	_ = table.Stats()
}

func TestOpenRemovesItsOwnUnfinishedImportAndNobodyElses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	table, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+importSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, quiet()); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + importSuffix); err != nil {
		t.Errorf("a process that was refused took an import away: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	table, err = Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + importSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unfinished import was left: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
}

// Readers, scans, exports and the scrub go on while the table is flushed,
// imported, and grows out of its mapping; every answer is some state's.
func TestReadersSeeWholeStatesThroughFlushesAndImports(t *testing.T) {
	for name, mapping := range map[string]int{"a mapping to spare": 1 << 30, "a mapping outgrown": 1 << 15} {
		t.Run(name, func(t *testing.T) {
			o := quiet()
			o.FlushBytes, o.InitialMmapSize = 20_000, mapping
			table := newTestTable(t, o)
			stop := make(chan struct{})
			var readers sync.WaitGroup
			read := func(fn func() error) {
				readers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if err := fn(); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			read(func() error {
				return table.View(func(r Reader) error {
					var values []string
					err := r.Scan([]byte("x"), []byte("y"), func(k, v []byte) bool { values = append(values, string(v)); return true })
					for i := range values {
						if values[i] != values[0] || len(values) != 4 {
							return fmt.Errorf("half an entry: %v", values)
						}
					}
					return err
				})
			})
			read(func() error { _, _, err := table.Get([]byte("x1")); return err })
			read(func() error { return table.Scrub(t.Context(), 3, func() {}, nil) })
			read(func() error {
				e, err := table.Export()
				if err != nil {
					return err
				}
				defer e.Close()
				return e.Each(func(k, v []byte) error { return nil })
			})
			for i := uint64(1); i <= 300; i++ {
				four := map[string]string{}
				for k := range 4 {
					four[fmt.Sprintf("x%d", k)] = fmt.Sprint(i)
				}
				if i%100 == 0 {
					if err := table.Import(Point{Index: i, Term: 1}, func(put func(k, v []byte) error) error {
						var err error
						for k, v := range four {
							err = errors.Join(err, put([]byte(k), []byte(v)))
						}
						return err
					}); err != nil {
						t.Fatal(err)
					}
					continue
				}
				four[fmt.Sprintf("z%d", i)] = string(make([]byte, 3000))
				put(table, four)
				table.Advance(i, 1)
			}
			close(stop)
			readers.Wait()
		})
	}
}
