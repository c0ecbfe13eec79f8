package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/holdfastdb/holdfast/session"
)

// discard is a ResponseWriter that costs nothing.
type discard struct {
	header http.Header
	size   int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { d.size += len(p); return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// oneSession answers every read with the same session, as fast as can be.
type oneSession struct {
	*memory
	view session.View
}

func (o *oneSession) Get(context.Context, session.Token, session.Client, bool, session.Consistency) (session.View, error) {
	return o.view, nil
}

func benchCurrent(b *testing.B, header http.Header) {
	memory := newMemory()
	create := createFor("auth0|1234567890")
	create.Data = []byte(`{"needs_onboarding":false,"subscription_plan":"professional","theme":"dark"}`)
	created := must(memory.create(create, nil))
	server := must(New(Config{NodeID: "n1"}, &oneSession{memory, created.View}, &fixedCluster{}))
	handler := server.Handler()
	request := must(http.NewRequest("GET", "http://x/api/sessions/current/", nil))
	request.URL.Host, request.RemoteAddr = "", "127.0.0.1:5555"
	request.Header = header
	if header.Get("Authorization") == "" {
		header.Set("Cookie", "theme=dark; __Host-holdfast="+must(session.Mint(rand.Reader, 1)).Reveal()+"; _ga=GA1.1.1234567890.1234567890")
	}
	writer := &discard{header: make(http.Header, 16)}
	b.ReportAllocs()
	for b.Loop() {
		clear(writer.header)
		handler.ServeHTTP(writer, request)
	}
	if writer.size < b.N*500 {
		b.Fatal("the answers are too short")
	}
}

func BenchmarkCurrentByCookie(b *testing.B) {
	benchCurrent(b, http.Header{"User-Agent": {firefox}, "Accept": {"*/*"}})
}

func BenchmarkCurrentByHeader(b *testing.B) {
	benchCurrent(b, http.Header{"User-Agent": {firefox}, "Authorization": {"Session " + must(session.Mint(rand.Reader, 1)).Reveal()}})
}

func BenchmarkAppendSession(b *testing.B) {
	memory := newMemory()
	server := &Server{devices: must(newDeviceNames())}
	view := must(memory.create(createFor("auth0|1234567890"), nil)).View
	buffer := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		buffer = server.appendSession(buffer[:0], &view.Session, view.Now, true)
	}
}

func BenchmarkHeadScan(b *testing.B) {
	head := []byte("GET /api/sessions/current/ HTTP/1.1\r\nHost: sessions.example.com\r\nUser-Agent: " + firefox +
		"\r\nAccept: */*\r\nCookie: theme=dark; __Host-holdfast=" + must(session.Mint(rand.Reader, 1)).Reveal() + "\r\n\r\n")
	var scan headScan
	b.ReportAllocs()
	for b.Loop() {
		if _, why := scan.feed(head); why != refusedNot {
			b.Fatal(why)
		}
	}
}
