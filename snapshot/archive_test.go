package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden archive anew")

var header = Header{
	Cluster: 0xfeed, Index: 42, Term: 7, Stamp: 1_700_000_000_123, ConfigurationIndex: 40,
	Configuration: []byte("three servers"), Hash: 99, Kind: Member,
}

type pair struct{ Key, Value string }

func write(t testing.TB, pairs []pair) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if err := w.Put([]byte(p.Key), []byte(p.Value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(in io.Reader) (h Header, pairs []pair, err error) {
	r, err := NewReader(in)
	if err != nil {
		return Header{}, nil, err
	}
	defer r.Close()
	for {
		k, v, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), pairs, nil
		}
		if err != nil {
			return Header{}, pairs, err
		}
		pairs = append(pairs, pair{string(k), string(v)})
	}
}

func some(n int) []pair {
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = pair{fmt.Sprintf("k%06d", i), string(bytes.Repeat([]byte{byte(i)}, i%700))}
	}
	return pairs
}

func TestAnArchiveReadsBackAsItWasWritten(t *testing.T) {
	for _, n := range []int{0, 1, 5000} {
		archive := write(t, some(n))
		for name, in := range map[string]io.Reader{"at once": bytes.NewReader(archive), "byte by byte": iotest.OneByteReader(bytes.NewReader(archive))} {
			h, pairs, err := read(in)
			if err != nil {
				t.Fatalf("%d pairs %s: %v", n, name, err)
			}
			if diff := cmp.Diff(some(n), pairs); n > 0 && diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if diff := cmp.Diff(header, h); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestACutArchiveIsDamagedWhereverItIsCut(t *testing.T) {
	archive := write(t, some(20))
	for n := range archive {
		if _, _, err := read(bytes.NewReader(archive[:n])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d of %d: %v", n, len(archive), err)
		}
	}
}

func TestAFlippedBitIsNoticedWhereverItIs(t *testing.T) {
	archive := write(t, some(20))
	for n := range archive {
		broken := bytes.Clone(archive)
		broken[n] ^= 0x10
		if _, _, err := read(bytes.NewReader(broken)); err == nil {
			t.Fatalf("byte %d of %d was changed unnoticed", n, len(archive))
		}
	}
}

func TestWhatFollowsAnArchiveIsRefused(t *testing.T) {
	if _, _, err := read(bytes.NewReader(append(write(t, some(3)), 'x'))); err == nil {
		t.Error("a byte behind the end was passed over")
	}
}

func TestAnotherFileAndALaterVersionAreTold(t *testing.T) {
	if _, err := NewReader(bytes.NewReader(bytes.Repeat([]byte("PK\x03\x04"), 20))); !errors.Is(err, ErrForeign) {
		t.Errorf("another file: %v", err)
	}
	later := write(t, nil)
	later[9]++
	if _, err := NewReader(bytes.NewReader(later)); !errors.Is(err, ErrNewer) {
		t.Errorf("a later version: %v", err)
	}
}

func TestAFailingSourceIsNotTakenForDamage(t *testing.T) {
	gone := errors.New("the disk is gone")
	archive := write(t, some(100))
	_, _, err := read(io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), iotest.ErrReader(gone)))
	if !errors.Is(err, gone) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func TestPairsOutOfBoundsAreRefused(t *testing.T) {
	w, err := NewWriter(io.Discard, header)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]pair{
		"no key": {}, "a long key": {Key: string(make([]byte, MaxKeyBytes+1))}, "a long value": {"k", string(make([]byte, MaxValueBytes+1))},
	} {
		if err := w.Put([]byte(p.Key), []byte(p.Value)); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if _, err := NewWriter(io.Discard, Header{Configuration: make([]byte, MaxHeaderBytes)}); err == nil {
		t.Error("a huge header passed")
	}
}

func TestAnArchiveOfVersion1ReadsForEver(t *testing.T) {
	golden := filepath.Join("testdata", "v1.archive")
	if *update {
		if err := os.WriteFile(golden, write(t, some(10)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	h, pairs, err := read(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(header, h) + cmp.Diff(some(10), pairs); diff != "" {
		t.Error(diff)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, some(5)))
	f.Add(forged(f, packed(f, uvarints(1, 1<<62, 'k'), windowBytes)))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, pairs, err := read(bytes.NewReader(in))
		if err == nil && (len(pairs) > len(in)*1000 || len(h.Configuration) > MaxHeaderBytes) {
			t.Fatal("an archive made more than it holds")
		}
	})
}

// FuzzBody goes behind the checksum, which keeps nearly everything from FuzzReader.
func FuzzBody(f *testing.F) {
	f.Add(uvarints(1, 1, 'k', 'v', 0, 1))
	f.Add(uvarints(1, 1<<62))
	f.Fuzz(func(t *testing.T, plain []byte) {
		h, pairs, err := read(bytes.NewReader(forged(t, packed(t, plain, windowBytes))))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if len(pairs) > len(plain) || h.Index != header.Index {
			t.Fatal("an archive made more than it holds")
		}
		if _, again, err := read(bytes.NewReader(write(t, pairs))); err != nil || !slices.Equal(again, pairs) {
			t.Fatalf("%v written and read is %v, %v", pairs, again, err)
		}
	})
}
