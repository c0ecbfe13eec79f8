package storage

import (
	"bytes"
	"errors"
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
