package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// balanced is a balancer before the given handlers, of which nil means a node that is down.
func balanced(t *testing.T, handlers ...http.Handler) string {
	t.Helper()
	var addrs []string
	for _, handler := range handlers {
		if handler == nil {
			addrs = append(addrs, deadAddr(t))
			continue
		}
		node := httptest.NewServer(handler)
		t.Cleanup(node.Close)
		addrs = append(addrs, node.Listener.Addr().String())
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBalancer(addrs)
	serving := b.start(ln)
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
		if err := <-serving; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Seen-Host", r.Host)
	w.Header().Set("Seen-For", r.Header.Get("X-Forwarded-For"))
	_, _ = w.Write(body)
}

func TestTheBalancerSendsAWriteToAnotherNodeWhenOneIsDown(t *testing.T) {
	url := balanced(t, nil, http.HandlerFunc(echo), nil)
	for range 6 {
		response, err := http.Post(url+"/x", "application/json", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK || string(body) != "hello" {
			t.Fatal(response.Status, string(body))
		}
		if got := response.Header.Get("Seen-Host"); !strings.HasSuffix(url, got) {
			t.Errorf("the node saw host %q", got)
		}
		if got := response.Header.Get("Seen-For"); got != "127.0.0.1" {
			t.Errorf("the node saw client %q", got)
		}
	}
}

func TestTheBalancerRepeatsOnlyWhatDoesNoHarm(t *testing.T) {
	breaking := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		panic(http.ErrAbortHandler)
	})
	url := balanced(t, breaking, breaking)
	for _, c := range []struct {
		method, key string
		harmless    bool
	}{{"GET", "", true}, {"POST", "", false}, {"POST", "k", true}, {"PATCH", "", false}, {"DELETE", "", true}} {
		r, err := http.NewRequest(c.method, url+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", c.key)
		if got := harmless(r, io.ErrUnexpectedEOF); got != c.harmless {
			t.Errorf("%s with key %q: harmless %v", c.method, c.key, got)
		}
	}
	response, err := http.Post(url+"/x", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem struct{ Detail string }
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || response.StatusCode != http.StatusBadGateway {
		t.Error(response.Status, err)
	}
	if !strings.Contains(problem.Detail, "may have been carried out") {
		t.Error(problem.Detail)
	}
}

func TestTheBalancerPrefersNodesThatAreReady(t *testing.T) {
	notReady := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	url := balanced(t, notReady, http.HandlerFunc(echo))
	deadline := time.Now().Add(10 * time.Second)
	for streak := 0; streak < 4; {
		if time.Now().After(deadline) {
			t.Fatal("requests still reach a node that is not ready")
		}
		response, err := http.Get(url + "/x")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		streak++
		if response.StatusCode != http.StatusOK {
			streak = 0
		}
	}
}
