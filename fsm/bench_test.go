package fsm

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const (
	benchSessions = 100_000
	benchPiece    = 512 // commands of one entry
	benchData     = `{"cart":[{"sku":"A-1009","n":2},{"sku":"B-77","n":1}],"locale":"de-AT","plan":"professional","seen":1767225600}`
)

// benchID is the id of the i-th session of a benchmark.
func benchID(i int) session.ID {
	id := session.ID{6: 0x70, 8: 0x80}
	binary.BigEndian.PutUint64(id[8:], 0x80<<56|uint64(i))
	binary.BigEndian.PutUint32(id[0:], uint32(i>>8))
	return id
}

func benchCreate(t tester, request uint64, i int, idle time.Duration) []byte {
	return command(t, envelope{
		Type: cmdCreate, Actor: &wireActor{Service: true, IP: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"},
		Request: &requestID{Incarnation: 1, Sequence: request, Lowest: max(1, request-min(request, 256))}, ProposedAt: midnight,
	}, createBody{
		ID: benchID(i), Hash: session.SecretHash{byte(i)}, UserID: fmt.Sprintf("user-%d", i%50_000), TenantID: "acme",
		Data: []byte(benchData), IdleMillis: idle.Milliseconds(), AbsMillis: (24 * time.Hour).Milliseconds(),
	})
}

// newBenchMember holds benchSessions, flushed to disk; requests is how many
// request ids were used.
func newBenchMember(b *testing.B, idle time.Duration) (m *member, requests uint64) {
	b.Helper()
	l := newLog(b, b.TempDir(), 1)
	m = l.members[0]
	b.Cleanup(func() {
		_ = m.Close()
		_ = m.table.Close()
	})
	for i := 0; i < benchSessions; {
		var commands [][]byte
		for range benchPiece {
			requests++
			commands = append(commands, benchCreate(b, requests, i, idle))
			i++
		}
		apply(b, m, commands)
	}
	m.flush()
	return m, requests
}

// apply applies one entry, as the log's goroutine does.
func apply(t tester, m *member, commands [][]byte) [][]byte {
	at, _, _ := m.machine.Applied()
	return m.machine.Apply(at+1, 1, int64(m.log.now), commands)
}

// perCommand adds what one command costs.
func perCommand(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchPiece, "ns/command")
}

func BenchmarkApplyCreates(b *testing.B) {
	m, requests := newBenchMember(b, time.Hour)
	next := benchSessions + benchPiece
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		var commands [][]byte
		for range benchPiece {
			requests++
			next++
			commands = append(commands, benchCreate(b, requests, next, time.Hour))
		}
		b.StartTimer()
		apply(b, m, commands)
	}
	perCommand(b)
}

func BenchmarkApplyPatches(b *testing.B) {
	m, requests := newBenchMember(b, time.Hour)
	n := 0
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		var commands [][]byte
		for range benchPiece {
			requests++
			n += 7919
			i := n % benchSessions
			commands = append(commands, command(b, envelope{
				Type: cmdPatch, Actor: &wireActor{SessionID: benchID(i), Hash: session.SecretHash{byte(i)}, IP: "192.0.2.1"},
				Request: &requestID{Incarnation: 1, Sequence: requests, Lowest: max(1, requests-256)}, ProposedAt: midnight,
			}, patchBody{Patch: fmt.Appendf(nil, `{"needs_onboarding":false,"seen":%d}`, n)}))
		}
		b.StartTimer()
		for _, raw := range apply(b, m, commands) {
			if p, _ := decodeReply(raw); p.code != codeOK {
				b.Fatal(p.err())
			}
		}
	}
	perCommand(b)
}

// Each sweep ends benchPiece sessions of those that have all expired.
func BenchmarkApplySweeps(b *testing.B) {
	m, _ := newBenchMember(b, time.Minute)
	next, requests := benchSessions+benchPiece, uint64(0)
	m.log.now = midnight.Add(time.Minute)
	sweep := [][]byte{command(b, envelope{Type: cmdSweep}, m.sweepBody())}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		p, err := decodeReply(apply(b, m, sweep)[0])
		if err != nil || p.count != benchPiece {
			b.StopTimer() // all are gone: make as many again
			for i := 0; i < benchSessions; i += benchPiece {
				var commands [][]byte
				for range benchPiece {
					requests++
					next++
					create := benchCreate(b, requests, next, time.Minute)
					commands = append(commands, create)
				}
				apply(b, m, commands)
			}
			m.flush()
			m.log.now = m.log.now.Add(time.Minute)
			b.StartTimer()
		}
	}
	perCommand(b)
}

// A fresh node answers from its own table. The log takes no lock here, for the
// real one does not.
func BenchmarkGet(b *testing.B) {
	m, _ := newBenchMember(b, time.Hour)
	var secret session.Secret
	hash := session.Token{Secret: secret}.Hash()
	var commands [][]byte
	for i := range benchPiece { // of which the token is known
		commands = append(commands, command(b, envelope{Type: cmdCreate, Actor: &wireActor{Service: true}}, createBody{
			ID: session.ID{0xff, byte(i >> 8), byte(i)}, Hash: hash, UserID: "alice", Data: []byte(benchData), IdleMillis: 3_600_000, AbsMillis: 7_200_000,
		}))
	}
	apply(b, m, commands)
	for _, where := range []string{"in memory", "on disk"} {
		b.Run(where, func(b *testing.B) {
			if where == "on disk" {
				m.flush()
			}
			s := &Sessions{cfg: m.cfg, log: freshLog{m}, machine: m.machine, touches: newTouches()}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					token := session.Token{ID: session.ID{0xff, byte(i >> 8 & 1), byte(i)}, Secret: secret}
					if _, err := s.Get(b.Context(), token, session.Client{}, true, session.Consistency{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// freshLog is the log of a node that is always fresh.
type freshLog struct{ *member }

func (l freshLog) Read(context.Context, uint64, bool) (int64, error) { return int64(midnight), nil }
