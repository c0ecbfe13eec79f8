package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	headLimit  = 5 * time.Second  // for the head of a request to arrive
	bodyLimit  = 10 * time.Second // for all of it
	limitSlack = 3 * time.Second  // this machine is shared
	promptly   = 3 * time.Second  // a good request meanwhile
)

// slowRows are clients that do not go on, and hold what they can meanwhile.
func (a *attack) slowRows(s owned) []row {
	n := a.nodes[1]
	stalls := func(input string, limit time.Duration, bytes string) row {
		return waits(input, "closed or 4xx in time, others served", func(ctx context.Context) verdict {
			return a.stall(ctx, n, s, limit, bytes)
		})
	}
	body := head("PATCH", currentPath, s) + "Content-Length: 100\r\n\r\n{"
	return []row{
		stalls("a head that stops in the first line", headLimit, "GET /li"),
		stalls("a head that stops in a header", headLimit, "GET /livez HTTP/1.1\r\nHost: x\r\nX: "),
		stalls("a connection without a byte", headLimit, ""),
		stalls("a body that stops", bodyLimit, body),
		stalls("chunks that stop", bodyLimit, head("PATCH", currentPath, s)+"Transfer-Encoding: chunked\r\n\r\n5\r\n{"),
		waits("a head of one byte a second", "closed or 4xx in time, others served", func(ctx context.Context) verdict {
			return a.trickle(ctx, n, s)
		}),
		waits("300 connections with half a head each", "others served within 3 s", func(ctx context.Context) verdict {
			return a.manySlow(ctx, n, s)
		}),
	}
}

// stall sends the beginning of a request and no more; good requests go on meanwhile.
func (a *attack) stall(ctx context.Context, n *node, s owned, limit time.Duration, bytes string) verdict {
	connection, err := dial(ctx, n.httpAddr)
	if err != nil {
		return wrong("%v", err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, bytes); err != nil {
		return wrong("%v", err)
	}
	return a.awaitEnd(ctx, n, s, connection, limit)
}

// awaitEnd wants the connection ended by the node within the limit, with nothing or a refusal.
func (a *attack) awaitEnd(ctx context.Context, n *node, s owned, connection net.Conn, limit time.Duration) verdict {
	began := time.Now()
	good, stop := a.goodRequests(ctx, n, s)
	_ = connection.SetReadDeadline(began.Add(limit + limitSlack))
	got, err := io.ReadAll(io.LimitReader(connection, 1<<20))
	took := time.Since(began).Round(100 * time.Millisecond)
	stop()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wrong("still open after %v", took)
	case len(got) > 0 && (len(got) < 12 || got[9] != '4'):
		return wrong("answered %.60q", got)
	case good.failed.Load() != "" || good.count.Load() == 0:
		return wrong("%d good requests meanwhile, and: %v", good.count.Load(), good.failed.Load())
	case len(got) > 0:
		return right("%s after %v, %d good requests", got[9:12], took, good.count.Load())
	}
	return right("closed after %v, %d good requests", took, good.count.Load())
}

// trickle sends a byte a second, which a limit on each byte alone would allow for ever.
func (a *attack) trickle(ctx context.Context, n *node, s owned) verdict {
	connection, err := dial(ctx, n.httpAddr)
	if err != nil {
		return wrong("%v", err)
	}
	defer connection.Close()
	go func() {
		for _, b := range []byte("GET /livez HTTP/1.1\r\nHost: x\r\nX: y") {
			if _, err := connection.Write([]byte{b}); err != nil || harness.Pause(ctx, time.Second) != nil {
				return
			}
		}
	}()
	return a.awaitEnd(ctx, n, s, connection, headLimit)
}

// manySlow holds three hundred connections open.
func (a *attack) manySlow(ctx context.Context, n *node, s owned) verdict {
	for range 300 {
		connection, err := dial(ctx, n.httpAddr)
		if err != nil {
			return wrong("%v", err)
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, "GET /livez HTTP/1.1\r\nHost: x\r\nX: "); err != nil {
			return wrong("%v", err)
		}
	}
	slowest := time.Duration(0)
	for range 10 {
		got := ask(ctx, request{node: n, path: currentPath, auth: s.auth(), headers: []string{"Holdfast-Touch", "no"}})
		if got.status != http.StatusOK || got.took > promptly {
			return wrong("a good request: %s after %v", got, got.took)
		}
		slowest = max(slowest, got.took)
	}
	return right("the slowest of 10 took %v", slowest.Round(time.Millisecond))
}

// goodCount is what became of good requests that run beside an attack.
type goodCount struct {
	count  atomic.Int64
	failed atomic.Value // the first failure, a string; empty if there is none
}

// goodRequests reads a session now and then until stop is called.
func (a *attack) goodRequests(ctx context.Context, n *node, s owned) (good *goodCount, stop func()) {
	good = &goodCount{}
	good.failed.Store("")
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			got := ask(ctx, request{node: n, path: currentPath, auth: s.auth(), headers: []string{"Holdfast-Touch", "no"}})
			switch {
			case ctx.Err() != nil: // the attack is over
			case got.status != http.StatusOK:
				good.failed.CompareAndSwap("", n.id+": "+got.String())
			case got.took > promptly:
				good.failed.CompareAndSwap("", n.id+" took "+got.took.String())
			default:
				good.count.Add(1)
			}
			_ = harness.Pause(ctx, 50*time.Millisecond)
		}
	}()
	return good, func() { cancel(); <-done }
}
