package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// A node is one running, or killed, holdfast server.
type node struct {
	id, httpAddr, clusterAddr, gossipAddr string
	dir, logFile                          string
	secure                                bool // it speaks TLS to clients, with a certificate that nobody knows
	args                                  []string
	process                               atomic.Pointer[harness.Child] // changes when the node is started again
}

// url is where the node serves a path.
func (n *node) url(path string) string {
	if n.secure {
		return "https://" + n.httpAddr + path
	}
	return "http://" + n.httpAddr + path
}

// awaitReady waits until /readyz answers 200, and gives up at once if the process has ended.
func (n *node) awaitReady(ctx context.Context) error {
	return harness.Poll(ctx, startTime, func() error {
		if p := n.process.Load(); p.Ended() {
			return harness.Permanent{Err: fmt.Errorf("it ended: %v", p.State())}
		}
		if !n.probe(ctx, "/readyz") {
			return fmt.Errorf("%s is not ready", n.id)
		}
		return nil
	})
}

// probe says whether a path without credentials answers 200.
func (n *node) probe(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return ask(ctx, request{node: n, path: path}).status == http.StatusOK
}
