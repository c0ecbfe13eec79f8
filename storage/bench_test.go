package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

const benchValueBytes = 700

// scattered is the i-th of the keys that lie all over the table, as users do.
func scattered(prefix byte, i uint64) []byte {
	x := i * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return binary.BigEndian.AppendUint64([]byte{prefix}, x*0xbf58476d1ce4e5b9)
}

// ascending is the i-th of the keys that are appended, as session ids are.
func ascending(prefix byte, i uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{prefix}, "12345678"...), i)
}

func benchValue(n int, i uint64) []byte {
	value := make([]byte, n)
	binary.BigEndian.PutUint64(value, i)
	return value
}

// filledTable holds n pairs with ascending keys, all in the file.
func filledTable(b *testing.B, n uint64) *Table {
	b.Helper()
	table := newTestTable(b, Options{FlushInterval: time.Hour, FlushBytes: 1 << 40})
	err := table.Import(Point{Index: 1, Term: 1}, func(put func(k, v []byte) error) error {
		for i := range n {
			if err := put(ascending('s', i), benchValue(benchValueBytes, i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return table
}

func get(b *testing.B, table *Table, key []byte) {
	if _, ok, err := table.Get(key); !ok || err != nil {
		b.Errorf("%x: %v, %v", key, ok, err)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []uint64{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := filledTable(b, n)
			b.Run("disk", func(b *testing.B) {
				for i := uint64(0); b.Loop(); i++ {
					get(b, table, ascending('s', i*7919%n))
				}
			})
			b.Run("disk-parallel", func(b *testing.B) {
				b.RunParallel(func(p *testing.PB) {
					for i := rand.Uint64N(n); p.Next(); i++ {
						get(b, table, ascending('s', i*7919%n))
					}
				})
			})
			var batch Batch
			for i := range uint64(10_000) {
				batch.Put(ascending('s', i*7919%n), benchValue(benchValueBytes, i))
			}
			table.Write(&batch)
			table.Advance(2, 1)
			b.Run("memory-parallel", func(b *testing.B) {
				b.RunParallel(func(p *testing.PB) {
					for i := rand.Uint64N(n); p.Next(); i++ {
						get(b, table, ascending('s', i%10_000*7919%n))
					}
				})
			})
		})
	}
}

// BenchmarkReadWhileWriting has one reader on its way while entries come in and are flushed.
func BenchmarkReadWhileWriting(b *testing.B) {
	table := newTestTable(b, Options{})
	var written, reads atomic.Uint64
	stop, done := make(chan struct{}), make(chan time.Duration)
	go func() {
		var worst time.Duration
		for {
			select {
			case <-stop:
				done <- worst
				return
			default:
			}
			began := time.Now()
			_, _, _ = table.Get(scattered('u', rand.Uint64N(written.Load()+1)))
			worst = max(worst, time.Since(began))
			reads.Add(1)
		}
	}()
	var worst time.Duration
	for b.Loop() {
		i := written.Add(1)
		began := time.Now()
		table.Write(creates(i*64, 64))
		table.Advance(i, 1)
		worst = max(worst, time.Since(began))
	}
	close(stop)
	b.ReportMetric(float64((<-done).Milliseconds()), "worst-read-ms")
	b.ReportMetric(float64(worst.Milliseconds()), "worst-write-ms")
	b.ReportMetric(float64(reads.Load())/b.Elapsed().Seconds(), "reads/s")
	b.ReportMetric(float64(written.Load()*64)/b.Elapsed().Seconds(), "creates/s")
}

// creates is what so many new sessions write: a record, its event, its place by expiry, by user and by subject.
func creates(first, n uint64) *Batch {
	b := &Batch{}
	for i := first; i < first+n; i++ {
		b.Put(ascending('s', i), benchValue(benchValueBytes, i))
		b.Put(ascending('e', i), benchValue(120, i))
		b.Put(ascending('x', i), []byte{1})
		b.Put(append(scattered('u', i), "0123456789abcdef"...), []byte{1})
		b.Put(append(scattered('v', i), "0123456789abcdef0123456789abcdef"...), []byte{1})
	}
	return b
}

func BenchmarkWrite512(b *testing.B) {
	for name, key := range map[string]func(byte, uint64) []byte{"ascending": ascending, "scattered": scattered} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			table := newTestTable(b, Options{FlushInterval: time.Hour, FlushBytes: 1 << 40})
			value := make([]byte, 100)
			i, entry := uint64(0), uint64(0)
			for b.Loop() {
				var batch Batch
				for range 512 {
					i++
					batch.Put(key('k', i), value)
				}
				table.Write(&batch)
				if entry++; entry%128 == 0 { // as much as lies in memory at a time
					table.mu.Lock()
					table.mem = newMemtable()
					table.mu.Unlock()
				}
			}
			table.mu.Lock()
			table.mem = newMemtable()
			table.mu.Unlock()
			table.Advance(1, 1)
		})
	}
}

// BenchmarkFlush flushes 8 MiB into a table of a million pairs.
func BenchmarkFlush(b *testing.B) {
	const n = 1_000_000
	table := filledTable(b, n)
	index, next := uint64(1), uint64(n)
	for name, fill := range map[string]func() *Batch{
		"append": func() *Batch {
			var batch Batch
			for range 10_000 {
				next++
				batch.Put(ascending('t', next), benchValue(benchValueBytes, next))
			}
			return &batch
		},
		"touch": func() *Batch {
			var batch Batch
			for range 10_000 {
				i := rand.Uint64N(n)
				batch.Put(ascending('s', i), benchValue(benchValueBytes, i))
			}
			return &batch
		},
		"create": func() *Batch { next += 5_000; return creates(next, 5_000) },
		"delete": func() *Batch {
			var batch Batch
			for range 4096 {
				batch.Delete(ascending('s', rand.Uint64N(n)))
			}
			return &batch
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				index++
				table.Write(fill())
				table.Advance(index, 1)
				if err := table.Flush(b.Context(), index, 1); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(table.path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()>>20), "file-MiB")
		})
	}
}

// BenchmarkFill creates sessions as fast as it goes; the size of the file tells how well pages are filled.
func BenchmarkFill(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		table := newTestTable(b, Options{})
		for i := range uint64(n / 500) {
			table.Write(creates(i*500, 500))
			table.Advance(i+1, 1)
		}
		if err := table.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(table.path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/n, "bytes/session")
	}
}

func BenchmarkOpen(b *testing.B) {
	table := filledTable(b, 1_000_000)
	if err := table.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again, err := Open(table.path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		get(b, again, ascending('s', 5))
		if err := again.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// expires is what the end of so many sessions writes: all that creates wrote goes, and an event comes.
func expires(first, n uint64) *Batch {
	b := &Batch{}
	for i := first; i < first+n; i++ {
		b.Delete(ascending('s', i))
		b.Delete(ascending('x', i))
		b.Delete(append(scattered('u', i), "0123456789abcdef"...))
		b.Delete(append(scattered('v', i), "0123456789abcdef0123456789abcdef"...))
		b.Put(ascending('e', i+1<<32), benchValue(120, i))
	}
	return b
}

// heapPeak samples the live and dead bytes of the heap until the returned function is called.
func heapPeak() (stop func() float64) {
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-done:
				peak <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() float64 { close(done); return float64(<-peak >> 20) }
}

// readLatency reads a thousand random sessions a second until the returned function is called for the 99th percentile.
func readLatency(table *Table) (stop func() float64) {
	done, p99 := make(chan struct{}), make(chan float64)
	go func() {
		var took []time.Duration
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-done:
				slices.Sort(took)
				p99 <- float64(took[len(took)*99/100].Microseconds())
				return
			case <-tick.C:
			}
			began := time.Now()
			_, _, _ = table.Get(ascending('s', rand.Uint64N(1_000_000)))
			took = append(took, time.Since(began))
		}
	}()
	return func() float64 { close(done); return <-p99 }
}

// BenchmarkMillionSessions is the life of a million sessions: created, reopened after a kill, and all expired at once.
// Run it with -benchtime 1x: it takes two minutes.
func BenchmarkMillionSessions(b *testing.B) {
	const n, batch = 1_000_000, 100 // as many as an entry of the log holds
	table := newTestTable(b, Options{})
	index := uint64(0)
	entries := func(b *testing.B, table *Table, most float64, make func(first, n uint64) *Batch) {
		stop, reads := heapPeak(), readLatency(table)
		began, worst := time.Now(), time.Duration(0)
		for i := range uint64(n / batch) {
			at := time.Now()
			if early := time.Duration(float64(i*batch)/most*1e9) - at.Sub(began); early > 0 {
				time.Sleep(early)
				at = time.Now()
			}
			index++
			table.Write(make(i*batch, batch))
			table.Advance(index, 1)
			worst = max(worst, time.Since(at))
		}
		b.ReportMetric(n/time.Since(began).Seconds(), "sessions/s")
		b.ReportMetric(float64(worst.Milliseconds()), "worst-write-ms")
		b.ReportMetric(stop(), "heap-MiB")
		b.ReportMetric(reads(), "read-p99-us")
		b.ReportMetric(float64(table.Stats().FileBytes>>20), "file-MiB")
		b.ReportMetric(table.Stats().FlushTook*1000, "flush-ms")
	}
	b.Run("create", func(b *testing.B) { entries(b, table, 1e9, creates) })
	b.Run("open", func(b *testing.B) {
		if err := table.Close(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		again, err := Open(table.path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "open-ms")
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc>>20), "heap-MiB")
		table = again
	})
	b.Run("idle", func(b *testing.B) {
		reads := readLatency(table)
		time.Sleep(3 * time.Second)
		b.ReportMetric(reads(), "read-p99-us")
	})
	b.Run("expire", func(b *testing.B) { entries(b, table, 20_000, expires) }) // gone in 50 s
	if err := table.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply is what readers wait for: an entry of 512 creates goes into the memtable.
func BenchmarkApply(b *testing.B) {
	m, next := newMemtable(), uint64(0)
	for b.Loop() {
		b.StopTimer()
		if m.len > 20_000 {
			m = newMemtable()
		}
		batch := creates(next, 512)
		batch.sort()
		next += 512
		b.StartTimer()
		m.apply(batch.writes)
	}
}
