package fsm

import (
	"bytes"
	"context"
	"testing"

	"github.com/holdfastdb/holdfast/storage"
)

type sink int64

func (s *sink) Write(p []byte) (int, error) { *s += sink(len(p)); return len(p), nil }

// Bytes a second are those of the pairs, before compression.
func BenchmarkSave(b *testing.B) {
	m, _ := newBenchMember(b, 1e12)
	var archive bytes.Buffer
	if _, err := m.machine.Save(context.Background(), &archive); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(contentsOf(b, archive.Bytes()).RawBytes)
	b.ReportMetric(float64(archive.Len()), "archive-bytes")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.machine.Save(context.Background(), new(sink)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadArchive(b *testing.B) {
	m, _ := newBenchMember(b, 1e12)
	archive := m.saved()
	b.SetBytes(contentsOf(b, archive).RawBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadArchive(context.Background(), bytes.NewReader(archive), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A restore into a machine that has never had a session, with the log's own work left out.
func BenchmarkRestoreAll(b *testing.B) {
	m, _ := newBenchMember(b, 1e12)
	archive := m.saved()
	b.SetBytes(contentsOf(b, archive).RawBytes)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		table, err := storage.Open(b.TempDir()+"/t.db", storage.Options{})
		if err != nil {
			b.Fatal(err)
		}
		machine, err := OpenMachine(table)
		if err != nil {
			b.Fatal(err)
		}
		machine.Begin(1, 1, int64(midnight), testCluster)
		chunks := chunksOf(b, archive, restoreChunkBytes)
		b.StartTimer()
		index := uint64(2)
		machine.Apply(index, 1, int64(midnight), [][]byte{command(b, envelope{Type: cmdRestore}, restoreBeginBody{Mode: 1, Size: restoreChunkBytes})})
		for i, pairs := range chunks {
			index++
			p, err := decodeReply(machine.Apply(index, 1, int64(midnight), [][]byte{
				command(b, envelope{Type: cmdRestoring}, restoreChunkBody{Number: uint64(i), Pairs: pairs}),
			})[0])
			if err != nil || p.code != codeOK {
				b.Fatal(p, err)
			}
		}
		b.StopTimer()
		if s, _ := machine.Stats(); s.Sessions < benchSessions {
			b.Fatal(s)
		}
		if err := table.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
