package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// forged is an archive whose checksum is right and whose body is anything.
func forged(t testing.TB, body []byte) []byte {
	t.Helper()
	out, err := header.encode()
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, body...)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// packed compresses plain, with the window that a reader allows unless told otherwise.
func packed(t testing.TB, plain []byte, window int) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(plain, nil)
}

func uvarints(numbers ...uint64) (out []byte) {
	for _, n := range numbers {
		out = binary.AppendUvarint(out, n)
	}
	return out
}

func TestAHostileBodyIsDamagedAndCostsLittle(t *testing.T) {
	const huge = 1 << 62
	zeros := make([]byte, 40<<20)
	bomb := append(uvarints(1, MaxValueBytes, 'k'), zeros...)
	for name, body := range map[string][]byte{
		"nothing":                  nil,
		"no frame":                 []byte("plain text, and a good deal of it"),
		"an empty frame":           packed(t, nil, windowBytes),
		"a huge key":               packed(t, uvarints(huge, 1), windowBytes),
		"a huge value":             packed(t, uvarints(1, huge), windowBytes),
		"a value over its limit":   packed(t, uvarints(1, MaxValueBytes+1), windowBytes),
		"a length without end":     packed(t, bytes.Repeat([]byte{0xff}, 100), windowBytes),
		"a wrong count":            packed(t, uvarints(1, 1, 'k', 'v', 0, 2), windowBytes),
		"a count of none":          packed(t, uvarints(1, 1, 'k', 'v', 0), windowBytes),
		"a pair cut short":         packed(t, uvarints(9, 1, 'k'), windowBytes),
		"something behind the end": packed(t, uvarints(0, 0, 1), windowBytes),
		"zeros behind the end":     packed(t, append(uvarints(0, 0), zeros...), windowBytes),
		"a frame behind the end":   append(packed(t, uvarints(0, 0), windowBytes), packed(t, []byte("x"), windowBytes)...),
		"zeros for pairs":          packed(t, bomb, windowBytes),
		"a window of 64 MiB":       packed(t, bomb, 64<<20),
		"a frame cut short":        packed(t, uvarints(1, 1, 'k', 'v', 0, 1), windowBytes)[:8],
	} {
		archive := forged(t, body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := drain(bytes.NewReader(archive))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
			t.Errorf("%s took %d MiB", name, grown>>20)
		}
	}
	good := forged(t, packed(t, uvarints(1, 1, 'k', 'v', 0, 1), windowBytes))
	if err := drain(bytes.NewReader(good)); err != nil {
		t.Errorf("a forged archive that is right: %v", err)
	}
}

func TestEveryFaultOfAnArchiveHasItsName(t *testing.T) {
	archive := write(t, some(200))
	for n := range archive {
		broken := bytes.Clone(archive)
		broken[n] ^= 1 << (n % 8)
		err := drain(bytes.NewReader(broken))
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Fatalf("byte %d of %d: %v", n, len(archive), err)
		}
	}
}
