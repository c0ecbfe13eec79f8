package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/api/auth"
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
	created session.Created
}

func (o *oneSession) Get(context.Context, session.Token, session.Client, bool, session.Consistency) (session.View, error) {
	return o.created.View, nil
}

func benchCurrent(b *testing.B, header http.Header) {
	server, _ := benchSession()
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

// Create and Patch answer every write with the same session.
func (o *oneSession) Create(context.Context, session.Create) (session.Created, error) {
	return o.created, nil
}

func (o *oneSession) Patch(context.Context, session.Patch) (session.View, error) {
	return o.created.View, nil
}

// benchWrite measures a handler that reads a body, without what a write costs behind it.
func benchWrite(b *testing.B, method, path, body string) {
	keysPath := filepath.Join(b.TempDir(), "keys.json")
	key := must(auth.CreateKey(keysPath, auth.RoleService, "web", rand.Reader, time.Now()))
	one := benchAnswer()
	server := must(New(Config{NodeID: "n1", Keys: must(auth.OpenKeys(keysPath))}, one, &fixedCluster{}))
	handler := server.Handler()
	request := must(http.NewRequest(method, "http://x"+path, nil))
	request.URL.Host, request.RemoteAddr = "", "127.0.0.1:5555"
	request.Header = http.Header{
		"User-Agent": {firefox}, "Content-Type": {"application/json"}, "Authorization": {"Bearer " + key},
		"Holdfast-Session": {one.created.Token.Reveal()}, "Holdfast-Client-Ip": {"192.0.2.1"}, "Holdfast-Client-User-Agent": {firefox},
	}
	if path == createPath {
		delete(request.Header, "Holdfast-Session")
	}
	request.ContentLength = int64(len(body))
	reader := strings.NewReader(body)
	request.Body = io.NopCloser(reader)
	writer := &discard{header: make(http.Header, 16)}
	b.ReportAllocs()
	for b.Loop() {
		clear(writer.header)
		reader.Reset(body)
		handler.ServeHTTP(writer, request)
	}
	if writer.size < b.N*500 {
		b.Fatal("the answers are too short")
	}
}

const (
	createPath = "/api/sessions/create/"
	// benchData is session data of 350 bytes.
	benchData = `{"cart":[{"sku":"A-1001","quantity":2,"price":19.90},{"sku":"B-2002","quantity":1,"price":149.00}],` +
		`"locale":"de-DE","needs_onboarding":false,"subscription_plan":"professional","theme":"dark","last_page":"/account/orders",` +
		`"flags":{"beta":true,"new_checkout":false,"banner":null},"referrer":"https://www.example.com/campaign/spring","visits":12345}`
	benchCreate = `{"user_id":"auth0|1234567890","tenant_id":"acme","data":` + benchData + `,"idle_timeout":"30m"}`
)

func BenchmarkCreate(b *testing.B) { benchWrite(b, "POST", createPath, benchCreate) }

func BenchmarkPatch(b *testing.B) {
	benchWrite(b, "PATCH", "/api/sessions/current/", benchData)
}

func BenchmarkParseCreate(b *testing.B) {
	body := []byte(benchCreate)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseCreate(body); err != nil {
			b.Fatal(err)
		}
	}
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

// benchmarkOverTCP drives a server with 64 clients that do as little as they can, so that the two figures below tell
// what the handler adds to what net/http costs anyway.
func benchmarkOverTCP(b *testing.B, serve func(net.Listener) error, stop func()) {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	served := make(chan error, 1)
	go func() { served <- serve(ln) }()
	request := []byte("GET /api/sessions/current/ HTTP/1.1\r\nHost: " + ln.Addr().String() + "\r\nUser-Agent: " + firefox +
		"\r\nAccept: */*\r\nCookie: theme=dark; __Host-holdfast=" + must(session.Mint(rand.Reader, 1)).Reveal() + "\r\n\r\n")
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() { ask(b, ln.Addr().String(), request, &left) })
	}
	clients.Wait()
	b.StopTimer()
	stop()
	if err := <-served; err != nil && err != http.ErrServerClosed {
		b.Error(err)
	}
}

func ask(b *testing.B, address string, request []byte, left *atomic.Int64) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	defer connection.Close()
	answer := make([]byte, 8192)
	for left.Add(-1) >= 0 {
		if _, err := connection.Write(request); err != nil {
			b.Error(err)
			return
		}
		n := 0
		for !bytes.HasSuffix(answer[:n], []byte("}}\n")) {
			more, err := connection.Read(answer[n:])
			if err != nil {
				b.Error(err)
				return
			}
			n += more
		}
		if !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200 ")) {
			b.Errorf("got %s", answer[:n])
			return
		}
	}
}

// benchAnswer answers everything with one session.
func benchAnswer() *oneSession {
	memory := newMemory()
	create := createFor("auth0|1234567890")
	create.Data = []byte(`{"needs_onboarding":false,"subscription_plan":"professional","theme":"dark"}`)
	return &oneSession{memory, must(memory.create(create, nil))}
}

// benchSession is a server whose every read is answered with the same session, and the answer itself.
func benchSession() (*Server, []byte) {
	one := benchAnswer()
	server := must(New(Config{NodeID: "n1"}, one, &fixedCluster{}))
	body := append(server.appendSession([]byte(`{"session":`), &one.created.Session, one.created.Now, true), "}\n"...)
	return server, body
}

func BenchmarkFloorOverTCP(b *testing.B) {
	_, body := benchSession()
	floor := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})}
	benchmarkOverTCP(b, floor.Serve, func() { floor.Close() })
}

func BenchmarkCurrentOverTCP(b *testing.B) {
	server, _ := benchSession()
	benchmarkOverTCP(b, server.Serve, func() { _ = server.Shutdown(b.Context()) })
}
