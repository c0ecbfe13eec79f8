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

const (
	startTime     = 60 * time.Second       // for three nodes to form a cluster, or for one to come back
	touchInterval = 500 * time.Millisecond // twice this is the shortest idle timeout that the nodes accept
)

// A cluster is three nodes with keys of their own, in a directory of its own.
type cluster struct {
	children   *harness.Children
	bin, dir   string
	service    string // a service key
	operator   string // an operator key
	clusterKey string // the text of the cluster key
	nodes      []*node
}

var keyPattern = regexp.MustCompile(`hf[ko]_[A-Za-z0-9_.-]+`)

// startCluster makes keys, starts three nodes that trust the issuer, and waits until all of them are ready.
func startCluster(ctx context.Context, children *harness.Children, bin, dir string, trusted *issuer) (c *cluster, err error) {
	c = &cluster{children: children, bin: bin, dir: dir}
	keyFile, keys := filepath.Join(dir, "cluster.key"), filepath.Join(dir, "keys.json")
	if c.clusterKey, err = c.createClusterKey(ctx, keyFile); err != nil {
		return nil, err
	}
	for role, key := range map[string]*string{"service": &c.service, "operator": &c.operator} {
		out, err := c.verb(ctx, "keys", "create", "--keys-file", keys, "--role", role, "--name", "attack-"+role)
		if err != nil {
			return nil, err
		}
		if *key = keyPattern.FindString(out); *key == "" {
			return nil, fmt.Errorf("keys create printed no %s key", role)
		}
	}
	const size = 3
	ports, err := harness.FreeAddrs(3 * size)
	if err != nil {
		return nil, err
	}
	join := strings.Join(ports[2*size:], ",")
	for i := range size {
		id := fmt.Sprintf("n%d", i+1)
		n := &node{
			id: id, httpAddr: ports[i], clusterAddr: ports[size+i], gossipAddr: ports[2*size+i], dir: filepath.Join(dir, id),
			logFile: filepath.Join(dir, id+".log"),
		}
		n.args = []string{
			"server", "--node-id", id, "--data-dir", n.dir, "--http-addr", n.httpAddr,
			"--cluster-addr", n.clusterAddr, "--gossip-addr", n.gossipAddr, "--join", join,
			"--bootstrap-expect", fmt.Sprint(size), "--cluster-key-file", keyFile, "--keys-file", keys,
			"--jwt-issuer", trusted.name(), "--jwt-audience", audience, "--jwt-jwks-url", trusted.keySetURL(id),
			"--insecure-cookies", "--protected-keys", "subscription_plan,roles",
			"--touch-interval", touchInterval.String(), "--idle-timeout", "1h",
			"--log-level", "debug", "--access-log", "all", "--log-format", "json",
		}
		c.nodes = append(c.nodes, n)
		if err := c.start(n); err != nil {
			return nil, err
		}
	}
	for _, n := range c.nodes {
		if err := n.awaitReady(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for %s: %w", n.id, err), c.lastWords())
		}
	}
	return c, nil
}

// createClusterKey draws a key into a file and returns its text.
func (c *cluster) createClusterKey(ctx context.Context, file string) (string, error) {
	if _, err := c.verb(ctx, "cluster-key", "create", "--out", file); err != nil {
		return "", err
	}
	raw, err := os.ReadFile(file)
	return strings.TrimSpace(string(raw)), err
}

// verb runs a short command of the binary and returns what it printed.
func (c *cluster) verb(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// start begins, or goes on with, the node's log file.
func (c *cluster) start(n *node) error {
	log, err := os.OpenFile(n.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	process, err := c.children.Start(log, c.bin, n.args...)
	if err != nil {
		return err
	}
	n.process.Store(process)
	return nil
}

// live are the nodes whose process runs.
func (c *cluster) live() []*node {
	var live []*node
	for _, n := range c.nodes {
		if !n.process.Load().Ended() {
			live = append(live, n)
		}
	}
	return live
}

// leader asks the nodes which of them leads.
func (c *cluster) leader(ctx context.Context) (*node, error) {
	var leader *node
	err := harness.Poll(ctx, 15*time.Second, func() error {
		for _, n := range c.live() {
			if n.probe(ctx, "/leaderz") {
				leader = n
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return leader, err
}

// lastWords quotes the end of each node's log.
func (c *cluster) lastWords() error {
	const lines, bytes = 4, 4000
	var words []error
	for _, n := range c.nodes {
		raw, err := os.ReadFile(n.logFile)
		if err != nil {
			continue // there is nothing to quote
		}
		tail := strings.Split(strings.TrimSpace(string(raw[max(0, len(raw)-bytes):])), "\n")
		words = append(words, fmt.Errorf("%s said last:\n  %s", n.id, strings.Join(tail[max(0, len(tail)-lines):], "\n  ")))
	}
	return errors.Join(words...)
}
