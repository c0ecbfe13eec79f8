package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	chaosRate    = 100
	maxChaosRate = 500 // one address may log in 50 times a second, and each 11th request is a login
	// visitPatience is how long a node lets a request wait: so many seconds of requests may be under way.
	visitPatience = 5
)

// devLoad sends requests at a steady rate, however long the answers take: a client that waits for an answer before it
// sends the next request would hide a pause.
type devLoad struct {
	url   string
	rate  int // requests a second
	login func(user string) (string, error)
	tally *tally

	mu    sync.Mutex
	idle  []*visitor // between two requests
	known int
}

// run sends until ctx ends, and returns when every answer is there.
func (l *devLoad) run(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: l.rate * visitPatience}}
	defer client.CloseIdleConnections()
	var visiting sync.WaitGroup
	defer visiting.Wait()
	ticks := time.NewTicker(time.Second / time.Duration(l.rate))
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		v := l.take(client)
		if v == nil {
			l.tally.skip()
			continue
		}
		visiting.Go(func() {
			v.next(context.WithoutCancel(ctx)) // a request that was sent is waited for: it has its own limit
			l.put(v)
		})
	}
}

// take is the visitor that was idle last, or a new one; nil if all are under way.
func (l *devLoad) take(client *http.Client) *visitor {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.idle) - 1; last >= 0 {
		v := l.idle[last]
		l.idle = l.idle[:last]
		return v
	}
	if l.known == l.rate*visitPatience {
		return nil
	}
	l.known++
	return &visitor{url: l.url, client: client, user: fmt.Sprintf("chaos|%d", l.known), login: l.login, tally: l.tally}
}

func (l *devLoad) put(v *visitor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, v)
}
