package storage

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestEachFlushIsToldWithItsLength(t *testing.T) {
	var flushes, written atomic.Int64
	o := quiet()
	o.OnFlush = func(took time.Duration, bytes int64) {
		if took <= 0 {
			t.Errorf("a flush took %s", took)
		}
		flushes.Add(1)
		written.Add(bytes)
	}
	table := newTestTable(t, o)
	for i := range uint64(3) {
		put(table, map[string]string{"k": "0123456789"})
		table.Advance(i+1, 1)
		if err := table.Flush(t.Context(), i+1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if flushes.Load() != 3 || written.Load() < 3*11 {
		t.Errorf("%d flushes of %d bytes", flushes.Load(), written.Load())
	}
}
