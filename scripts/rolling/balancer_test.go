package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/scripts/harness"
	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

// backends are three nodes that write down what reaches them. What they answer is up to the path: /fail/… takes a request
// and hangs up at the first attempt, /busy/… says 503 at the first, everything else is 200.
type backends struct {
	servers []*httptest.Server
	mu      sync.Mutex
	seen    []*http.Request // of one exchange, in their order
	bodies  []int           // their lengths
}

func startBackends(t *testing.T) (*backends, []place) {
	b := &backends{}
	var all []place
	for i := range fileNodes {
		id := fmt.Sprintf("n%d", i+1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.serve(id, w, r) }))
		t.Cleanup(server.Close)
		b.servers = append(b.servers, server)
		all = append(all, place{id, strings.TrimPrefix(server.URL, "http://")})
	}
	return b, all
}

func (b *backends) serve(id string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Holdfast-Node", id)
	if r.URL.Path == "/readyz" || r.URL.Path == "/livez" {
		return
	}
	body, _ := io.Copy(io.Discard, r.Body)
	b.mu.Lock()
	b.seen, b.bodies = append(b.seen, r), append(b.bodies, int(body))
	first := len(b.seen) == 1
	b.mu.Unlock()
	switch {
	case first && strings.HasPrefix(r.URL.Path, "/fail/"):
		panic(http.ErrAbortHandler)
	case first && strings.HasPrefix(r.URL.Path, "/busy/"):
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// exchange sends one request through the balancer; status is 0 if no answer came.
func (b *backends) exchange(t *testing.T, addr, method, path, body string, header ...string) (status int, seen []*http.Request) {
	t.Helper()
	b.mu.Lock()
	b.seen, b.bodies = nil, nil
	b.mu.Unlock()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	request.Close = true // Go would repeat some requests itself on a kept connection
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil {
		response.Body.Close()
		status = response.StatusCode
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return status, slices.Clone(b.seen)
}

// openBalancer runs the balancer with the project's file in front of backends.
func openBalancer(t *testing.T, name string) (*backends, string) {
	t.Helper()
	needed.Program(t, name)
	b, nodes := startBackends(t)
	var children harness.Children
	t.Cleanup(children.KillAll)
	running, err := startBalancer(t.Context(), &children, config{balancer: name, configDir: "../../deploy/lb"}, t.TempDir(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	return b, running.addr
}

func TestABalancerPassesOnWhatItShouldAndNothingElse(t *testing.T) {
	for _, name := range balancerNames() {
		t.Run(name, func(t *testing.T) {
			b, addr := openBalancer(t, name)
			status, seen := b.exchange(t, addr, "POST", "/api/x?a=%2F&b", "{}", "X-Forwarded-For", "192.0.2.1",
				"Forwarded", "for=192.0.2.1", "Cookie", "c=1", "Holdfast-Index", "7")
			if status != http.StatusOK || len(seen) != 1 {
				t.Fatalf("status %d, %d requests", status, len(seen))
			}
			got := seen[0]
			if h := got.Header; h.Get("X-Forwarded-For") != "127.0.0.1" || len(h["X-Forwarded-For"]) != 1 || h["Forwarded"] != nil ||
				h.Get("Cookie") != "c=1" || h.Get("Holdfast-Index") != "7" {
				t.Errorf("a client's word reaches the node, or what it should be told does not: %v", h)
			}
			if got.Host != addr || got.RequestURI != "/api/x?a=%2F&b" {
				t.Errorf("host %q and target %q are another's", got.Host, got.RequestURI)
			}
			// Above what a node accepts, which says so itself.
			if status, _ = b.exchange(t, addr, "POST", "/api/big", strings.Repeat("x", 200<<10)); status != http.StatusOK || b.bodies[0] != 200<<10 {
				t.Errorf("a big body: status %d, %v bytes", status, b.bodies)
			}
			for _, path := range []string{"/cluster/status", "/%63luster/status", "/CLUSTER/status", "/metrics", "/debug/pprof/heap"} {
				if status, seen := b.exchange(t, addr, "GET", path, ""); status != http.StatusNotFound || len(seen) != 0 {
					t.Errorf("%s: status %d, a node was asked %d times", path, status, len(seen))
				}
			}
		})
	}
}

func TestABalancerRepeatsOnlyWhatDoesNoHarmTwice(t *testing.T) {
	key := []string{"Idempotency-Key", "k"}
	for _, test := range []struct {
		method, path string
		header       []string
		repeated     map[string]bool // by balancer; those that are not there do not repeat it
	}{
		{"GET", "/fail/", nil, map[string]bool{"haproxy": true, "nginx": true, "caddy": true}},
		{"GET", "/busy/", nil, map[string]bool{"haproxy": true, "nginx": true}},
		{"DELETE", "/fail/", nil, map[string]bool{"haproxy": true, "nginx": true}},
		{"POST", "/fail/", nil, nil},
		{"PATCH", "/fail/", nil, nil},
		{"POST", "/busy/", nil, nil},
		{"POST", "/fail/", key, map[string]bool{"haproxy": true, "nginx": true}},
		{"PATCH", "/busy/", key, map[string]bool{"haproxy": true, "nginx": true}},
		{"PUT", "/fail/", []string{"If-None-Match", "*"}, map[string]bool{"nginx": true}}, // its README warns of it
	} {
		for _, name := range balancerNames() {
			t.Run(strings.Join([]string{name, test.method, strings.Trim(test.path, "/"), strings.Join(test.header, " ")}, " "), func(t *testing.T) {
				b, addr := openBalancer(t, name)
				body := "{}"
				if test.method == http.MethodGet {
					body = ""
				}
				status, seen := b.exchange(t, addr, test.method, test.path, body, test.header...)
				if want := test.repeated[name]; want != (len(seen) == 2) || want != (status == http.StatusOK) || len(seen) == 0 {
					t.Errorf("status %d, %d attempts, want a second: %t", status, len(seen), want)
				}
			})
		}
	}
}
