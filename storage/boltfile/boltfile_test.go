package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// writeFile makes a file with a tree of some levels, an inline bucket, pages that
// overflow, and free pages.
func writeFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "some.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	put := func(from, to, size int) {
		err := db.Update(func(tx *bbolt.Tx) error {
			big, err := tx.CreateBucketIfNotExists([]byte("big"))
			if err != nil {
				return err
			}
			small, err := tx.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			for i := from; i < to; i++ {
				value := bytes.Repeat([]byte{byte(i)}, size+i%700)
				if i%500 == 0 {
					value = bytes.Repeat([]byte{1}, 20_000)
				}
				if err := big.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), value); err != nil {
					return err
				}
			}
			return small.Put([]byte("last"), []byte{byte(to)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		put(i*150, (i+1)*150, 10)
	}
	put(0, 1500, 300)
	if err := db.Update(func(tx *bbolt.Tx) error {
		for i := range 700 {
			if err := tx.Bucket([]byte("big")).Delete(binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWholeFileIsWalkedPairByPair(t *testing.T) {
	path := writeFile(t)
	next, small := uint64(700), 0
	figures, err := Check(path, func(bucket string, key, _ []byte) error {
		if bucket == "small" {
			small++
			return nil
		}
		if binary.BigEndian.Uint64(key) != next {
			return fmt.Errorf("%x, want %d", key, next)
		}
		next++
		return nil
	})
	if err != nil || next != 3000 || small != 1 {
		t.Errorf("%d pairs, %d small, %v", next, small, err)
	}
	if figures.WholeMetas != 2 || figures.Used >= figures.Pages || figures.FreeBytes() <= 0 {
		t.Errorf("%+v", figures)
	}
	refused := errors.New("refused")
	if _, err := Check(path, func(string, []byte, []byte) error { return refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
}

// Whatever bit of the file is flipped: Check says that it is damaged, or what it
// reads is what was written but for bytes of one key or value, or it goes on from the
// other meta page and says so. The keys' and values' own bytes are for others to
// check.
func TestNoFlippedBitChangesWhatAFileHoldsUnseen(t *testing.T) {
	path := writeFile(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (pairs map[string]string, figures Figures, err error) {
		pairs = make(map[string]string)
		figures, err = Check(path, func(bucket string, key, value []byte) error {
			pairs[bucket+string(key)] = string(value)
			return nil
		})
		return pairs, figures, err
	}
	want, _, err := read()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	pageSize := os.Getpagesize()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	used := usedPages(t, path)
	found, harmless := 0, 0
	for n := range 600 {
		at := random.IntN(len(whole))
		if n%2 == 0 { // headers and elements are a small part of the file, and most of what matters
			at = used[random.IntN(len(used))]*pageSize + random.IntN(200)
		}
		flipped := whole[at] ^ 1<<random.IntN(8)
		if _, err := file.WriteAt([]byte{flipped}, int64(at)); err != nil {
			t.Fatal(err)
		}
		got, figures, err := read()
		switch {
		case errors.Is(err, ErrDamaged), figures.WholeMetas == 1:
			found++
		case err != nil:
			t.Fatal(err)
		case !sameButForOnePair(got, want):
			t.Errorf("seed %d: byte %d of page %d: unseen", seed, at%pageSize, at/pageSize)
		default:
			harmless++
		}
		if _, err := file.WriteAt(whole[at:at+1], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if found < 50 || harmless < 50 {
		t.Errorf("%d found and %d harmless: the test tests nothing", found, harmless)
	}
}

// usedPages are the first pages of all that the trees hold.
func usedPages(t *testing.T, path string) (pages []int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	newest, _ := readMetas(file)
	w := &walker{file: file, meta: newest, seen: make([]uint64, newest.pages/64+1), fn: func(string, []byte, []byte) error { return nil }}
	if err := w.root(); err != nil {
		t.Fatal(err)
	}
	for i := range int(newest.pages) {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			pages = append(pages, i)
		}
	}
	return pages
}

// sameButForOnePair allows for a changed value, or for a key that has become another one.
func sameButForOnePair(got, want map[string]string) bool {
	differ := 0
	for key, value := range want {
		if other, ok := got[key]; !ok || len(other) != len(value) || other != value {
			differ++
		}
	}
	return differ <= 1 && len(got) == len(want)
}

func TestAFileThatIsCutShortIsDamaged(t *testing.T) {
	path := writeFile(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 4096, 8192, 16384, len(whole) / 2} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(path, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d of %d: %v", n, len(whole), err)
		}
	}
}

func TestACompactedFileHoldsTheSameAndIsSmaller(t *testing.T) {
	path := writeFile(t)
	before, _, err := sum(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+Suffix, []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Compact(path, func(string) (int64, error) { return 1 << 40, nil })
	if err != nil {
		t.Fatal(err)
	}
	after, figures, err := sum(path)
	if err != nil || after != before {
		t.Errorf("%v, %v, %v", after, before, err)
	}
	if r.After >= r.Before*3/4 || r.After != figures.FileBytes || r.Took <= 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(path + Suffix); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestWhatCannotBeCompactedStaysAsItIs(t *testing.T) {
	plenty := func(string) (int64, error) { return 1 << 40, nil }
	for name, c := range map[string]struct {
		harm func(t *testing.T, path string)
		free func(string) (int64, error)
		want error
	}{
		"no room": {func(*testing.T, string) {}, func(string) (int64, error) { return headroom, nil }, ErrNoRoom},
		"in use": {func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
		}, plenty, ErrInUse},
		"damaged": {func(t *testing.T, path string) {
			used := usedPages(t, path)
			flip(t, path, int64(used[len(used)-1]*os.Getpagesize())+10)
		}, plenty, ErrDamaged},
		"one meta page": {func(t *testing.T, path string) { flip(t, path, pageHeaderBytes+48) }, plenty, ErrDamaged},
		"not there": {func(t *testing.T, path string) {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
		}, plenty, os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t)
			c.harm(t, path)
			before, _ := os.ReadFile(path)
			if _, err := Compact(path, c.free); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file has changed")
			}
			if _, err := os.Stat(path + Suffix); !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		})
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
