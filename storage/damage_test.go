package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// closedTable returns the file of a table with some pairs, large ones among them.
func closedTable(t *testing.T) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.db")
	table, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for i := range uint64(300) {
		b.Put(ascending('k', i), benchValue(100+int(i)*30, i))
	}
	table.Write(&b)
	table.Advance(1, 1)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestAFileThatIsCutShortIsRefused(t *testing.T) {
	path, data := closedTable(t)
	for _, n := range []int{1, 100, 4096, 5000, 8192, 16384, len(data) / 2} {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := Open(path, quiet())
		if err == nil {
			_ = table.Close()
		}
		if err == nil || n >= 8192 && !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d of %d: %v", n, len(data), err)
		}
	}
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("not a table\n"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, text, foreign, filepath.Join(dir, "no", "such", "folder")} {
		if table, err := Open(path, quiet()); err == nil {
			t.Errorf("%s was opened", path)
			_ = table.Close()
		}
	}
}

// A page that a disk cannot read, or returns changed, must end in an error that
// the node can tell, and not in the death of the process.
func TestDamageUnderAnOpenTableIsAnError(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, f *os.File, data []byte){
		"pages of noise": func(t *testing.T, f *os.File, data []byte) {
			for at := 2 * os.Getpagesize(); at < len(data); at++ {
				data[at] ^= 0xa5
			}
			if _, err := f.WriteAt(data, 0); err != nil {
				t.Fatal(err)
			}
		},
		"a file cut short": func(t *testing.T, f *os.File, data []byte) {
			if err := f.Truncate(int64(2 * os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, data := closedTable(t)
			table, err := Open(path, quiet())
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			harm(t, f, data)
			if _, _, err := table.Get(ascending('k', 7)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Get: %v", err)
			}
			if err := table.Scan(nil, nil, func(k, v []byte) bool { return true }); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Scan: %v", err)
			}
			if err := table.Scrub(t.Context(), 10, func() {}, nil); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Scrub: %v", err)
			}
			if e, err := table.Export(); err == nil {
				if err = e.Each(func(k, v []byte) error { return nil }); !errors.Is(err, ErrCorrupt) {
					t.Errorf("Export: %v", err)
				}
				_ = e.Close()
			} else if !errors.Is(err, ErrCorrupt) {
				t.Errorf("Export: %v", err)
			}
		})
	}
}
