package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const startTime = 60 * time.Second // for three nodes to form a cluster, or for one to come back

// A node is one running, or killed, holdfast server.
type node struct {
	id, httpAddr, dir string
	args              []string
	log               *os.File
	process           *harness.Child
}

// A cluster is three nodes with keys of their own, in a directory of its own.
type cluster struct {
	bench *bench
	dir   string
	key   string // a service key
	// operator is an operator key.
	operator string
	nodes    []*node
}

var keyPattern = regexp.MustCompile(`hf[ko]_[A-Za-z0-9_.-]+`)

// startCluster makes keys, starts three nodes and waits until all of them are ready.
func (b *bench) startCluster(ctx context.Context, dir string) (*cluster, error) {
	c := &cluster{bench: b, dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	clusterKey, keys := filepath.Join(dir, "cluster.key"), filepath.Join(dir, "keys.json")
	if _, err := b.verb(ctx, "cluster-key", "create", "--out", clusterKey); err != nil {
		return nil, err
	}
	for role, key := range map[string]*string{"service": &c.key, "operator": &c.operator} {
		out, err := b.verb(ctx, "keys", "create", "--keys-file", keys, "--role", role, "--name", "bench-"+role)
		if err != nil {
			return nil, err
		}
		if *key = keyPattern.FindString(out); *key == "" {
			return nil, fmt.Errorf("keys create printed no %s key", role)
		}
	}
	const size = 3
	addrs, err := harness.FreeAddrs(3 * size)
	if err != nil {
		return nil, err
	}
	join := strings.Join(addrs[2*size:], ",")
	for i := range size {
		id := fmt.Sprintf("n%d", i+1)
		n := &node{id: id, httpAddr: addrs[i], dir: filepath.Join(dir, id)}
		n.args = []string{
			"server", "--node-id", id, "--data-dir", n.dir, "--http-addr", n.httpAddr,
			"--cluster-addr", addrs[size+i], "--gossip-addr", addrs[2*size+i], "--join", join,
			"--bootstrap-expect", fmt.Sprint(size), "--cluster-key-file", clusterKey, "--keys-file", keys,
		}
		if n.log, err = os.Create(filepath.Join(dir, id+".log")); err != nil {
			return nil, errors.Join(err, c.stop(true))
		}
		c.nodes = append(c.nodes, n)
		if err := c.start(n); err != nil {
			return nil, errors.Join(err, c.stop(true))
		}
	}
	if err := c.allReady(ctx); err != nil {
		return nil, errors.Join(err, c.lastWords(), c.stop(true))
	}
	return c, nil
}

// verb runs a short command of the binary and returns what it printed.
func (b *bench) verb(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

func (c *cluster) start(n *node) (err error) {
	n.process, err = c.bench.children.Start(n.log, c.bench.bin, n.args...)
	return err
}

func (c *cluster) allReady(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := n.awaitReady(ctx); err != nil {
			return fmt.Errorf("wait for %s: %w", n.id, err)
		}
	}
	return nil
}

// awaitReady waits until /readyz answers 200, and gives up at once if the process has ended.
func (n *node) awaitReady(ctx context.Context) error {
	return harness.Poll(ctx, startTime, func() error {
		if n.process.Ended() {
			return harness.Permanent{Err: fmt.Errorf("it ended: %v", n.process.State())}
		}
		return n.ready(ctx)
	})
}

// leader asks the nodes which of them leads.
func (c *cluster) leader(ctx context.Context) (*node, error) {
	var leader *node
	err := harness.Poll(ctx, 15*time.Second, func() error {
		for _, n := range c.nodes {
			if !n.process.Ended() && n.leads(ctx) {
				leader = n
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return leader, err
}

func (c *cluster) addrs() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.httpAddr)
	}
	return addrs
}

// stop kills the nodes and removes what they kept.
func (c *cluster) stop(keep bool) error {
	for _, n := range c.nodes {
		if n.process != nil {
			n.process.Kill()
		}
		n.log.Close()
	}
	if keep {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// lastWords quotes the end of each node's log.
func (c *cluster) lastWords() error {
	const lines, bytes = 4, 4000
	var words []error
	for _, n := range c.nodes {
		raw, err := os.ReadFile(n.log.Name())
		if err != nil {
			continue // there is nothing to quote
		}
		tail := strings.Split(strings.TrimSpace(string(raw[max(0, len(raw)-bytes):])), "\n")
		words = append(words, fmt.Errorf("%s said last:\n  %s", n.id, strings.Join(tail[max(0, len(tail)-lines):], "\n  ")))
	}
	return errors.Join(words...)
}
