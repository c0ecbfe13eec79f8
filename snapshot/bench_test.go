package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// sessionsOf calls fn with n pairs that are like sessions: a key in ascending order, hashes that do not compress, and
// data that does. All values are one buffer.
func sessionsOf(n int, fn func(key, value []byte)) {
	random := rand.NewChaCha8([32]byte{})
	key, value := make([]byte, 17), make([]byte, 0, 1024)
	for i := range n {
		binary.BigEndian.PutUint64(key[1:], uint64(i))
		_, _ = random.Read(key[9:])
		value = append(value[:0], key...)
		value = append(value, make([]byte, 64)...)
		_, _ = random.Read(value[17:])
		value = fmt.Appendf(value, `{"cart":[%d,%d],"name":"user %d","onboarding_completed":true,"subscription_plan":"professional","visited":[`, i%97, i%89, i)
		for len(value) < 690 {
			value = fmt.Appendf(value, `"/item/%d",`, random.Uint64()%100_000)
		}
		fn(key, value)
	}
}

const benchPairs = 100_000

func BenchmarkWriter(b *testing.B) {
	var keys, values [][]byte
	plain := 0
	sessionsOf(benchPairs, func(key, value []byte) {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
		plain += len(key) + len(value)
	})
	b.SetBytes(int64(plain))
	b.ReportAllocs()
	for b.Loop() {
		var out counter
		w, err := NewWriter(&out, header)
		if err != nil {
			b.Fatal(err)
		}
		for i := range keys {
			if err := w.Put(keys[i], values[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(out)/float64(plain), "of-plain")
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func BenchmarkReader(b *testing.B) {
	var archive bytes.Buffer
	w, err := NewWriter(&archive, header)
	if err != nil {
		b.Fatal(err)
	}
	plain := 0
	sessionsOf(benchPairs, func(key, value []byte) {
		plain += len(key) + len(value)
		if err := w.Put(key, value); err != nil {
			b.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(plain))
	b.ReportAllocs()
	for b.Loop() {
		if err := drain(bytes.NewReader(archive.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// drain reads an archive and keeps nothing of it.
func drain(in io.Reader) error {
	r, err := NewReader(in)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestAnArchivePassesThroughBoundedMemory(t *testing.T) {
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		w, err := NewWriter(out, header)
		if err == nil {
			value := make([]byte, 1<<20)
			for i := range uint32(64) {
				err = errors.Join(err, w.Put(binary.BigEndian.AppendUint32(nil, i), value))
			}
			err = errors.Join(err, w.Close(), out.Close())
		}
		written <- err
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := errors.Join(drain(in), <-written); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 24<<20 {
		t.Errorf("64 MiB of pairs took %d MiB", grown>>20)
	}
}
