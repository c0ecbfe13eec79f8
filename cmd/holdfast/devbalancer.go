package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
)

const (
	balancerCheckEvery = 200 * time.Millisecond
	// balancerMaxBody is above what a node accepts: the node itself says 413.
	balancerMaxBody = 256 << 10
)

// balancer spreads requests over the nodes that say that they are ready. It stands for the load balancer of a real
// installation: it knows nothing of sessions, and no request sticks to a node.
type balancer struct {
	targets []*target
	next    atomic.Uint64
	server  *http.Server
	wire    *http.Transport
	stop    context.CancelFunc
	checks  sync.WaitGroup
	// repeated counts requests that were sent to another node after one had died over them.
	repeated atomic.Uint64
}

type target struct {
	addr  string
	ready atomic.Bool
}

func newBalancer(addrs []string) *balancer {
	b := &balancer{wire: &http.Transport{
		Proxy:               nil,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     10 * time.Second,
		DisableCompression:  true,
	}}
	for _, addr := range addrs {
		b.targets = append(b.targets, &target{addr: addr})
	}
	silent := log.New(io.Discard, "", 0)
	b.server = &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = "http", "node" // RoundTrip chooses
				r.Out.Host = r.In.Host
				r.SetXForwarded()
			},
			Transport: b, FlushInterval: -1, ErrorHandler: balancerProblem, ErrorLog: silent,
		},
		ReadHeaderTimeout: 5 * time.Second, ErrorLog: silent,
	}
	return b
}

// start serves on listener until close. The channel gives the error that serving ended with.
func (b *balancer) start(listener net.Listener) <-chan error {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	for _, t := range b.targets {
		b.checks.Go(func() {
			for {
				t.ready.Store(answersOK(ctx, t.addr, "/readyz"))
				if !pause(ctx, balancerCheckEvery) {
					return
				}
			}
		})
	}
	done := make(chan error, 1)
	go func() {
		if err := b.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			done <- err
		}
		close(done)
	}()
	return done
}

func (b *balancer) close() error {
	err := b.server.Close()
	b.stop()
	b.checks.Wait()
	b.wire.CloseIdleConnections()
	return err
}

// RoundTrip sends a request to one node after the other, until one of them takes it. A request that may have been
// carried out is sent again only if that does no harm.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, balancerMaxBody)); err != nil {
			return nil, err
		}
	}
	failure := errors.New("no node could be reached")
	for _, t := range b.order() {
		attempt := r.Clone(r.Context())
		attempt.URL.Host = t.addr
		if r.Body != nil {
			attempt.ContentLength = int64(len(body))
			attempt.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
			attempt.Body, _ = attempt.GetBody()
		}
		response, err := b.wire.RoundTrip(attempt)
		if err == nil {
			err = readShort(response)
		}
		if err == nil {
			return response, nil
		}
		failure = err
		if r.Context().Err() != nil {
			break
		}
		t.ready.Store(false)
		if !harmless(r, err) {
			break
		}
		b.repeated.Add(1)
	}
	return nil, failure
}

// readShort reads the body of an answer whose length is known, before any of it is passed on: from a node that dies in
// the middle of an answer, the request can then still go to another.
func readShort(response *http.Response) error {
	if response.ContentLength <= 0 || response.ContentLength > balancerMaxBody {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// order is the ready nodes, a different one first each time, and then the others: one of them may just have come back.
func (b *balancer) order() []*target {
	var ready, others []*target
	first := int(b.next.Add(1) % uint64(len(b.targets)))
	for i := range b.targets {
		t := b.targets[(first+i)%len(b.targets)]
		if t.ready.Load() {
			ready = append(ready, t)
		} else {
			others = append(others, t)
		}
	}
	return append(ready, others...)
}

// harmless says whether a request that ended in err may be sent again: nobody has seen it, or twice is like once.
func harmless(r *http.Request, err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return true
	}
	return r.Header.Get("Idempotency-Key") != ""
}

func balancerProblem(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusBadGateway)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"title": "Bad Gateway", "status": http.StatusBadGateway,
		"detail": fmt.Sprintf("The development balancer got no answer: %v. The request may have been carried out.", err),
	})
}
