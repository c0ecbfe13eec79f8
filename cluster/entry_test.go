package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	for name, commands := range map[string][][]byte{
		"none": {}, "one": {[]byte("a")}, "empty": {{}}, "several": {[]byte("a"), {}, bytes.Repeat([]byte("x"), 70000)},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := decodeEntry(encodeBatch(-5, commands))
			if err != nil || e.kind != kindBatch || e.stamp != -5 {
				t.Fatalf("%+v, %v", e, err)
			}
			if diff := cmp.Diff(commands, e.commands); diff != "" {
				t.Error(diff)
			}
		})
	}
	e, err := decodeEntry(encodeOpening(1<<41, 0xfeedface))
	if err != nil || e.kind != kindOpening || e.stamp != 1<<41 || e.cluster != 0xfeedface {
		t.Errorf("%+v, %v", e, err)
	}
}

// The bytes are a format: they must never change for version 1.
func TestEntryGolden(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{encodeOpening(1, 2), "01018cadb5ef00000000000000010000000000000002"},
		{encodeBatch(3, [][]byte{[]byte("ab"), []byte("c")}), "0102c57657200000000000000003020261620163"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestEveryFlippedBitOfAnEntryIsNoticed(t *testing.T) {
	whole := encodeBatch(7, [][]byte{[]byte("first"), []byte("second")})
	for i := range len(whole) * 8 {
		spoilt := bytes.Clone(whole)
		spoilt[i/8] ^= 1 << (i % 8)
		if _, err := decodeEntry(spoilt); err == nil {
			t.Errorf("bit %d went unnoticed", i)
		}
	}
	for n := range whole {
		if _, err := decodeEntry(whole[:n]); err == nil {
			t.Errorf("cut to %d bytes it went unnoticed", n)
		}
	}
}

func TestNewerEntriesAreRefusedAsNewer(t *testing.T) {
	b := encodeBatch(7, nil)
	b[0] = 2
	if _, err := decodeEntry(sealEntry(b)); !errors.Is(err, errEntryVersion) {
		t.Error(err)
	}
	b[0], b[1] = 1, 9
	if _, err := decodeEntry(sealEntry(b)); !errors.Is(err, errEntryVersion) {
		t.Error(err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(encodeOpening(1, 2))
	f.Add(encodeBatch(3, [][]byte{[]byte("ab"), []byte("c")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= entryHeaderSize {
			// Past the checksum, or the fuzzer never gets anywhere.
			b = sealEntry(bytes.Clone(b))
		}
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		again := encodeOpening(e.stamp, e.cluster)
		if e.kind == kindBatch {
			again = encodeBatch(e.stamp, e.commands)
		}
		back, err := decodeEntry(again)
		if err != nil || cmp.Diff(e, back, cmp.AllowUnexported(entry{})) != "" {
			t.Errorf("%v: %v", err, cmp.Diff(e, back, cmp.AllowUnexported(entry{})))
		}
	})
}
