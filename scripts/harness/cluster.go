package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	startTime = 60 * time.Second // for nodes to form a cluster, or for one to come back
	verbTime  = 30 * time.Second
)

// ClusterConfig says which nodes a cluster is made of.
type ClusterConfig struct {
	Bin  string // the binary of holdfast
	Dir  string // for keys, logs and data; it is the caller's to remove
	Size int
	Args []string // flags of every node beside those that make it a node of this cluster
}

// A Cluster is nodes on loopback with keys of their own.
type Cluster struct {
	Service, Operator string // a key of each role
	Nodes             []*Node
	cfg               ClusterConfig
	children          *Children
}

var keyPattern = regexp.MustCompile(`hf[ko]_[A-Za-z0-9_.-]+`)

// StartCluster makes keys, starts the nodes and waits until all of them are ready. The processes belong to children, also
// those of a start that failed.
func StartCluster(ctx context.Context, children *Children, cfg ClusterConfig) (*Cluster, error) {
	c := &Cluster{cfg: cfg, children: children}
	clusterKey, keys := filepath.Join(cfg.Dir, "cluster.key"), filepath.Join(cfg.Dir, "keys.json")
	if _, err := c.verb(ctx, "cluster-key", "create", "--out", clusterKey); err != nil {
		return nil, err
	}
	for role, key := range map[string]*string{"service": &c.Service, "operator": &c.Operator} {
		out, err := c.verb(ctx, "keys", "create", "--keys-file", keys, "--role", role, "--name", role)
		if err != nil {
			return nil, err
		}
		if *key = keyPattern.FindString(out); *key == "" {
			return nil, fmt.Errorf("keys create printed no %s key", role)
		}
	}
	addrs, err := FreeAddrs(3 * cfg.Size)
	if err != nil {
		return nil, err
	}
	join := strings.Join(addrs[2*cfg.Size:], ",")
	for i := range cfg.Size {
		n := &Node{ID: fmt.Sprintf("n%d", i+1), HTTPAddr: addrs[i], cluster: c}
		n.args = append([]string{
			"server", "--node-id", n.ID, "--data-dir", filepath.Join(cfg.Dir, n.ID), "--http-addr", n.HTTPAddr,
			"--cluster-addr", addrs[cfg.Size+i], "--gossip-addr", addrs[2*cfg.Size+i], "--join", join,
			"--bootstrap-expect", fmt.Sprint(cfg.Size), "--cluster-key-file", clusterKey, "--keys-file", keys,
		}, cfg.Args...)
		c.Nodes = append(c.Nodes, n)
		if err := n.Start(); err != nil {
			return nil, err
		}
	}
	for _, n := range c.Nodes {
		if err := n.AwaitReady(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for %s: %w", n.ID, err), c.LastWords())
		}
	}
	return c, nil
}

// verb runs a short command of the binary and returns what it printed.
func (c *Cluster) verb(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, verbTime)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, c.cfg.Bin, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// Leader asks the nodes that run which of them leads.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	var leader *Node
	err := Poll(ctx, 15*time.Second, func() error {
		for _, n := range c.Nodes {
			if !n.child.Ended() && n.answers(ctx, "/leaderz") == nil {
				leader = n
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return leader, err
}

// Transfer has the leader hand its leadership to another node, as an operator does.
func (c *Cluster) Transfer(ctx context.Context, leader *Node) error {
	ctx, cancel := context.WithTimeout(ctx, verbTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+leader.HTTPAddr+"/cluster/transfer-leadership/", nil)
	if err != nil {
		return err
	}
	request.Close = true
	request.Header.Set("Authorization", "Bearer "+c.Operator)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)); response.StatusCode != http.StatusOK {
		return fmt.Errorf("transfer the leadership of %s: status %d: %s", leader.ID, response.StatusCode, said)
	}
	return nil
}

// LastWords quotes the end of each node's log.
func (c *Cluster) LastWords() error {
	const lines, bytes = 4, 4000
	var words []error
	for _, n := range c.Nodes {
		raw, err := os.ReadFile(n.logFile())
		if err != nil {
			continue // there is nothing to quote
		}
		tail := strings.Split(strings.TrimSpace(string(raw[max(0, len(raw)-bytes):])), "\n")
		words = append(words, fmt.Errorf("%s said last:\n  %s", n.ID, strings.Join(tail[max(0, len(tail)-lines):], "\n  ")))
	}
	return errors.Join(words...)
}
