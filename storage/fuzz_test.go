package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func FuzzDecodePoint(f *testing.F) {
	f.Add(encodePoint(Point{Index: 7, Term: 2, ConfigurationIndex: 5, Configuration: []byte("servers")}), false)
	f.Add(make([]byte, 24), true)
	f.Fuzz(func(t *testing.T, raw []byte, sealed bool) {
		if sealed { // go behind the checksum
			raw = seal(pointKey, raw)
		}
		p, err := decodePoint(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(encodePoint(p), raw) {
			t.Fatalf("%x has a second spelling", raw)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	f.Add([]byte("key"), seal([]byte("key"), []byte("value")))
	f.Fuzz(func(t *testing.T, key, stored []byte) {
		if value, err := unseal(key, stored); err == nil && !bytes.Equal(seal(key, value), stored) {
			t.Fatalf("%x under %x was passed", stored, key)
		}
	})
}

// FuzzMetaPages opens files whose first two pages are anything.
func FuzzMetaPages(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "v1.db"))
	if err != nil {
		f.Fatal(err)
	}
	metas := 2 * os.Getpagesize()
	f.Add(golden[:96], golden[metas/2:metas/2+96])
	f.Fuzz(func(t *testing.T, first, second []byte) {
		data := bytes.Clone(golden)
		copy(data[:metas/2], first)
		copy(data[metas/2:metas], second)
		size := claimedSize(bytes.NewReader(data), int64(os.Getpagesize()))
		if size < 0 {
			t.Fatalf("a file of %d bytes", size)
		}
	})
}
