package load

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// endless repeats one answer for ever, as if each came in a packet of its own.
type endless struct{ wire string }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.wire), nil }

var _ io.Reader = endless{}

func leanPair(t testing.TB) (*writer, *parser) {
	tokens := &Tokens{}
	if err := tokens.Add(testToken(1)); err != nil {
		t.Fatal(err)
	}
	w := &writer{
		options: &Options{Profile: Mixed, Users: 10}, tokens: tokens.snapshot(), data: sessionData(DefaultDataBytes),
		rng: rand.New(rand.NewPCG(1, 2)),
	}
	wire := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nEtag: \"1\"\r\nCache-Control: no-store\r\n" +
		"Holdfast-Index: 0123456789abcdef.123456\r\nHoldfast-Node: n1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n" +
		"Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)
	return w, &parser{src: endless{wire}, buf: make([]byte, initialBytes)}
}

func TestARequestAllocatesNothing(t *testing.T) {
	w, p := leanPair(t)
	for _, k := range []kind{read, patch, create, logout} {
		w.request(k, "127.0.0.1:8081", 1, 0) // the buffers grow once
		if n := testing.AllocsPerRun(100, func() {
			w.request(k, "127.0.0.1:8081", 7, 0)
			if r, err := p.next(); err != nil || r.status != 200 {
				t.Fatal(r, err)
			}
		}); n != 0 {
			t.Errorf("kind %d: %v allocations", k, n)
		}
	}
}

func BenchmarkRequestAndAnswer(b *testing.B) {
	w, p := leanPair(b)
	for b.Loop() {
		w.request(read, "127.0.0.1:8081", 7, 0)
		if _, err := p.next(); err != nil {
			b.Fatal(err)
		}
	}
}
