package boltfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzCheck walks files with some bytes anywhere in place of what was written.
func FuzzCheck(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("..", "testdata", "v1.db"))
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "some.db")
	for page := range 4 {
		at := page * os.Getpagesize()
		f.Add(uint32(at), golden[at:at+96])
	}
	f.Fuzz(func(t *testing.T, at uint32, bytes []byte) {
		data := append([]byte(nil), golden...)
		copy(data[int(at)%len(data):], bytes)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(path, nil); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}
