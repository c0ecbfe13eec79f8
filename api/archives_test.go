package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// shelf is an Archives of one archive in memory.
type shelf struct {
	archive []byte
	fail    error
	broken  error         // what reading the archive ends with; nil: io.EOF
	begun   chan struct{} // told when a save begins, if set; it then lasts as long as its context

	mu       sync.Mutex
	closed   int
	restored []byte // the last
	sessions string // of the last
}

func (s *shelf) Restore(ctx context.Context, archive io.Reader, sessions string) (Restored, error) {
	raw, err := io.ReadAll(archive)
	if err != nil {
		return Restored{}, err
	}
	if s.begun != nil {
		s.begun <- struct{}{}
		<-ctx.Done()
		return Restored{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored, s.sessions = raw, sessions
	return Restored{Restored: 3, SkippedDead: 2, Unchanged: 1, Index: session.Index{Cluster: 0x99, Index: 50}}, s.fail
}

func (s *shelf) Save(ctx context.Context) (Archive, error) {
	if s.begun != nil {
		s.begun <- struct{}{}
		<-ctx.Done()
		return Archive{}, ctx.Err()
	}
	if s.fail != nil {
		return Archive{}, s.fail
	}
	var r io.Reader = bytes.NewReader(s.archive)
	if s.broken != nil {
		r = io.MultiReader(r, errReader{s.broken})
	}
	size := int64(len(s.archive))
	if s.broken != nil {
		size++
	}
	return Archive{
		ReadCloser: shelved{r, s}, Size: size, Name: "holdfast-1122334455667788-42.archive",
		Index: session.Index{Cluster: testCluster, Index: 42},
	}, nil
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

type shelved struct {
	io.Reader
	of *shelf
}

func (s shelved) Close() error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.closed++
	return nil
}

func (s *shelf) closes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func TestAnArchiveIsSentWholeToAnOperatorAlone(t *testing.T) {
	s := &shelf{archive: bytes.Repeat([]byte("archive "), 1<<17)}
	n := newNode(t, func(c *Config) { c.Archives = s })
	got := n.do("GET", "/cluster/snapshot", "", bearer(n.operator)).want(200)
	if got.body != string(s.archive) || got.header.Get("Content-Length") != "1048576" || got.header.Get("Holdfast-Index") != "1122334455667788.42" {
		t.Errorf("%d bytes, %v", len(got.body), got.header)
	}
	if got := got.header.Get("Content-Disposition"); got != `attachment; filename="holdfast-1122334455667788-42.archive"` {
		t.Error(got)
	}
	if head := n.do("HEAD", "/cluster/snapshot/", "", bearer(n.operator)).want(200); head.body != "" || s.closes() != 1 {
		t.Errorf("HEAD: %q, %d closed", head.body, s.closes())
	}
	n.do("GET", "/cluster/snapshot/", "", bearer(n.service)).wantCode(403, "forbidden")
	n.do("GET", "/cluster/snapshot/", "").wantCode(401, "key_invalid")
	s.fail = session.ErrOverloaded
	n.do("GET", "/cluster/snapshot/", "", bearer(n.operator)).wantCode(503, "overloaded")
	if s.closes() != 1 {
		t.Errorf("%d archives closed", s.closes())
	}
	none := newNode(t, nil)
	none.do("GET", "/cluster/snapshot/", "", bearer(none.operator)).wantCode(404, "not_found")
}

// rawly asks without the contract, which must read an answer whole.
func (n *node) rawly(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request := must(http.NewRequestWithContext(ctx, method, "http://"+n.addr+path, body))
	request.Header.Set("Authorization", "Bearer "+n.operator)
	return n.client.Transport.(*contract).next.RoundTrip(request)
}

func TestAnArchiveThatBreaksOffDoesNotLookWhole(t *testing.T) {
	s := &shelf{archive: make([]byte, 1<<20), broken: errors.New("the disk is gone")}
	n := newNode(t, func(c *Config) { c.Archives = s })
	got, err := n.rawly(t.Context(), "GET", "/cluster/snapshot/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if _, err := io.ReadAll(got.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read with %v", err)
	}
	if s.closes() != 1 || !strings.Contains(n.log.String(), "the disk is gone") {
		t.Error("the archive was not closed, or nobody was told")
	}
}

func TestASaveEndsWhenItsClientGoesOrTheNodeDrains(t *testing.T) {
	for _, end := range []string{"client", "drain"} {
		s := &shelf{begun: make(chan struct{})}
		n := newNode(t, func(c *Config) { c.Archives = s })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			got, err := n.rawly(ctx, "GET", "/cluster/snapshot/", nil)
			if err == nil {
				err = got.Body.Close()
			}
			done <- err
		}()
		<-s.begun
		if end == "client" {
			cancel()
		} else {
			n.server.Drain()
		}
		if err := <-done; (err != nil) != (end == "client") {
			t.Errorf("%s: %v", end, err)
		}
		cancel()
	}
}

func TestAnArchiveOfAnySizeIsRestoredForAnOperatorAlone(t *testing.T) {
	s := &shelf{}
	n := newNode(t, func(c *Config) { c.Archives = s })
	archive := strings.Repeat("archive ", 1<<17) // more than any other body may have
	as := "Content-Type: application/octet-stream"
	got := n.do("PUT", "/cluster/snapshot?sessions=none", archive, as, bearer(n.operator)).want(200)
	got.wantMember("restored", 3.0).wantMember("skipped_dead", 2.0).wantMember("unchanged", 1.0).wantMember("index", 50.0).wantMember("cluster", "0000000000000099")
	if string(s.restored) != archive || s.sessions != "none" || got.header.Get("Holdfast-Index") != "0000000000000099.50" {
		t.Errorf("%d bytes, %q, %v", len(s.restored), s.sessions, got.header)
	}
	n.do("PUT", "/cluster/snapshot/", "short", as, bearer(n.operator)).want(200)
	if string(s.restored) != "short" || s.sessions != "" {
		t.Errorf("%q %q", s.restored, s.sessions)
	}
	s.restored = nil
	n.do("PUT", "/cluster/snapshot/", "x", as, bearer(n.service)).wantCode(403, "forbidden")
	n.do("PUT", "/cluster/snapshot/", "x", as).wantCode(401, "key_invalid")
	for _, query := range []string{"sessions=some", "sessions=", "sessions=all&sessions=none"} {
		n.do("PUT", "/cluster/snapshot/?"+query, "x", as, bearer(n.operator)).wantCode(400, "invalid_request")
	}
	n.do("PUT", "/cluster/snapshot/", "x", as, "Content-Encoding: gzip", bearer(n.operator)).wantCode(415, "unsupported_media_type")
	if s.restored != nil {
		t.Error("something was restored")
	}
	s.fail = session.ErrInvalidRequest.With("the archive is damaged")
	n.do("PUT", "/cluster/snapshot/", "x", as, bearer(n.operator)).wantCode(400, "invalid_request")
	none := newNode(t, nil)
	none.do("PUT", "/cluster/snapshot/", "x", as, bearer(none.operator)).wantCode(404, "not_found")
}

// An upload may take longer than other requests may, as long as it goes on; the answer too.
func TestAnUploadOutlastsTheTimeoutsOfOtherRequests(t *testing.T) {
	s := &shelf{}
	n := newNode(t, func(c *Config) {
		c.Archives, c.ReadTimeout, c.WriteTimeout, c.RequestTimeout = s, 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	})
	r, w := io.Pipe()
	go func() {
		pace := time.NewTicker(60 * time.Millisecond)
		defer pace.Stop()
		for range 5 {
			<-pace.C
			_, _ = w.Write([]byte("piece "))
		}
		_ = w.Close()
	}()
	got, err := n.rawly(t.Context(), "PUT", "/cluster/snapshot/", r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if got.StatusCode != 200 || string(s.restored) != strings.Repeat("piece ", 5) {
		t.Errorf("%d, %q", got.StatusCode, s.restored)
	}
}

func TestAnUploadThatBreaksOffRestoresNothing(t *testing.T) {
	s := &shelf{}
	n := newNode(t, func(c *Config) { c.Archives = s })
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write(make([]byte, 1<<20))
		_ = w.CloseWithError(errors.New("the operator's machine is gone"))
	}()
	if got, err := n.rawly(t.Context(), "PUT", "/cluster/snapshot/", r); err == nil {
		got.Body.Close()
		t.Error(got.Status)
	}
	n.do("GET", "/livez", "").want(200)
	if s.restored != nil {
		t.Error("it was restored")
	}
}

func TestARestoreGoesOnWithoutItsClientAndEndsWhenTheNodeDrains(t *testing.T) {
	s := &shelf{begun: make(chan struct{})}
	n := newNode(t, func(c *Config) { c.Archives = s })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		got, err := n.rawly(ctx, "PUT", "/cluster/snapshot/", strings.NewReader("archive"))
		if err == nil {
			err = got.Body.Close()
		}
		done <- err
	}()
	<-s.begun
	cancel()
	if <-done == nil {
		t.Error("an answer")
	}
	if n.server.metrics.inFlight.Load() != 1 {
		t.Error("the restore did not go on")
	}
	n.server.Drain() // the clean-up waits for the request to end
}
