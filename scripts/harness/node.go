package harness

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A Node is one holdfast server of a Cluster.
type Node struct {
	ID, HTTPAddr string
	cluster      *Cluster
	args         []string
	child        *Child
}

func (n *Node) logFile() string { return filepath.Join(n.cluster.cfg.Dir, n.ID+".log") }

// Start starts the node, for the first time or again, and goes on with its log.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	n.child, err = n.cluster.children.Start(log, n.cluster.cfg.Bin, n.args...)
	return err
}

// AwaitReady waits until /readyz answers 200, and gives up at once if the process has ended.
func (n *Node) AwaitReady(ctx context.Context) error {
	return Poll(ctx, startTime, func() error {
		if n.child.Ended() {
			return Permanent{Err: fmt.Errorf("it ended: %v", n.child.State())}
		}
		return n.answers(ctx, "/readyz")
	})
}

// Terminate has the node drain and end, and fails if that takes longer than ctx or is not done well.
func (n *Node) Terminate(ctx context.Context) error {
	if err := n.child.Terminate(ctx); err != nil {
		return fmt.Errorf("stop %s: %w", n.ID, err)
	}
	return nil
}

// answers says why a path without credentials does not answer 200.
func (n *Node) answers(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTPAddr+path, nil)
	if err != nil {
		return err
	}
	request.Close = true // a kept connection would outlive the node that it leads to
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d", n.ID, path, response.StatusCode)
	}
	return nil
}
