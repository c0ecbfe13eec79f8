package main

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// ownKeyFiles gives every node a cluster key file of its own, as on machines of their own.
func (c *processCluster) ownKeyFiles() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.giveKeys(n, c.readClusterKeys(c.files.clusterKey())...)
		n.setFlag("--cluster-key-file", n.keyFile())
	}
}

func (n *processNode) keyFile() string { return filepath.Join(n.cluster.files.dir, n.id+".key") }

// setFlag changes what the node is started with.
func (n *processNode) setFlag(name, value string) {
	n.args = slices.Clone(n.args)
	n.args[slices.Index(n.args, name)+1] = value
}

func (c *processCluster) giveKeys(n *processNode, keys ...pki.Key) {
	c.t.Helper()
	text := ""
	for _, key := range keys {
		text += key.Reveal() + "\n"
	}
	if err := os.WriteFile(n.keyFile(), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *processCluster) readClusterKeys(path string) []pki.Key {
	c.t.Helper()
	keys, err := pki.ParseKeyFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return keys
}

func clusterKey(t *testing.T) pki.Key {
	t.Helper()
	key, err := pki.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stranger is a node that wants to join with a key of its own. It is not started.
func (c *processCluster) stranger(id string, key pki.Key) *processNode {
	c.t.Helper()
	ports := freePorts(c.t, 3)
	n := &processNode{
		cluster: c, id: id, url: "http://" + ports[0], dir: filepath.Join(c.files.dir, id), log: filepath.Join(c.files.dir, id+".log"),
		args: c.nodes[0].args,
	}
	c.giveKeys(n, key)
	for name, value := range map[string]string{
		"--node-id": id, "--data-dir": n.dir, "--http-addr": ports[0], "--cluster-addr": ports[1], "--gossip-addr": ports[2],
		"--bootstrap-expect": "0", "--cluster-key-file": n.keyFile(),
	} {
		n.setFlag(name, value)
	}
	c.t.Cleanup(n.kill)
	return n
}

// logged says whether a line of the node's log has all these parts.
func (n *processNode) logged(parts ...string) bool {
	raw, err := os.ReadFile(n.log)
	if err != nil {
		return false
	}
line:
	for line := range strings.Lines(string(raw)) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue line
			}
		}
		return true
	}
	return false
}

// refuses checks that a stranger gets nowhere, that both sides say why, and that the cluster does not notice otherwise.
func (c *processCluster) refuses(stranger *processNode) {
	c.t.Helper()
	before := c.nodes[0].status()
	stranger.start()
	c.eventually("the stranger says why it gets nowhere", func() bool {
		return stranger.logged(`"level":"WARN"`, "another cluster key", "127.0.0.1:")
	})
	c.eventually("a node says whom it refused", func() bool {
		return slices.ContainsFunc(c.nodes, func(n *processNode) bool {
			return n.logged(`"level":"WARN"`, "another cluster key", "127.0.0.1:")
		})
	})
	if got := stranger.ask("GET", "/readyz", "", ""); got.status != http.StatusServiceUnavailable {
		c.t.Errorf("the stranger serves: %v", got)
	}
	after := c.nodes[0].status()
	if after.Term != before.Term || after.Leader != before.Leader || len(after.Members) != len(c.nodes) {
		c.t.Errorf("the cluster was in term %d under %s and is in %d under %s, with %d members",
			before.Term, before.Leader, after.Term, after.Leader, len(after.Members))
	}
	stranger.kill()
}

func TestANodeWithTheWrongClusterKeyIsRefusedAndNamedOnBothSides(t *testing.T) {
	c := startProcesses(t, 3)
	c.refuses(c.stranger("n4", clusterKey(t)))
	for _, n := range c.nodes {
		if n.said(c.readClusterKeys(c.files.clusterKey())[0].Reveal()) {
			t.Error("a key is in a log")
		}
	}
}

func TestTheClusterKeyIsRotatedUnderLoadThoughANodeIsDownMeanwhile(t *testing.T) {
	c := newProcesses(t, 3)
	c.ownKeyFiles()
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	old := c.readClusterKeys(c.files.clusterKey())[0]
	down := c.others(c.leader())[0]
	counters := c.count(c.others(down), 2, func(progress func()) {
		progress()
		down.stopWell()
		rotate := c.command("cluster-key", "rotate", "--wait", patience.String())
		c.eventually("the rotation waits for the node that is down", func() bool {
			return strings.Contains(rotate.output(), "install  waits: "+down.id+" does not answer")
		})
		progress()
		down.start()
		rotate.succeeds()
		progress()
	})
	c.checkCounters(counters)

	fresh := c.readClusterKeys(c.nodes[0].keyFile())[0]
	if fresh == old {
		t.Fatal("the old key is still the first")
	}
	for _, n := range c.nodes {
		if keys := c.readClusterKeys(n.keyFile()); !slices.Equal(keys, []pki.Key{fresh}) {
			t.Errorf("%s has other keys than the first node, or more: %d", n.id, len(keys))
		}
		for _, m := range n.status().Members {
			if !slices.Equal(m.ClusterKeys, []string{fresh.Name()}) {
				t.Errorf("%s says that %s believes %v", n.id, m.ID, m.ClusterKeys)
			}
		}
		if n.said(old.Reveal()) || n.said(fresh.Reveal()) {
			t.Errorf("a key is in the log of %s", n.id)
		}
	}
	again := c.command("cluster-key", "rotate", "--resume")
	again.succeeds()
	if said := again.output(); !strings.Contains(said, "no rotation to go on with: every node that answers has key "+fresh.Name()) {
		t.Errorf("nothing is under way, and it says %q", said)
	}
	// Whoever has the old key alone is nobody any more.
	c.refuses(c.stranger("n4", old))
	for _, n := range c.nodes {
		n.stopWell()
		n.start()
		n.awaitReady()
	}
	c.converge()
}

// running is a command of the program that runs beside the test.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	mu     sync.Mutex
	said   bytes.Buffer
	ended  chan struct{}
	result error
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.Write(b)
}

func (r *running) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// command runs a client's verb with the operator key, against all nodes.
func (c *processCluster) command(args ...string) *running {
	c.t.Helper()
	program, err := exec.LookPath("holdfast")
	if err != nil {
		c.t.Fatal(err)
	}
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.url)
	}
	r := &running{t: c.t, ended: make(chan struct{}), cmd: exec.Command(program, append(args, "--addr", strings.Join(addrs, ","))...)}
	r.cmd.Env = append(os.Environ(), envName("key")+"="+c.operator)
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.SysProcAttr = r, r, childAttributes()
	if err := r.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		r.result = r.cmd.Wait()
	}()
	c.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
	return r
}

func (r *running) succeeds() {
	r.t.Helper()
	<-r.ended // bounded by the command's own wait
	if r.result != nil {
		r.t.Fatalf("%v: %v\n%s", r.cmd.Args[1:3], r.result, r.output())
	}
}

func TestANodeOfAnotherClusterWithTheSameKeyIsRefusedAndNamedOnBothSides(t *testing.T) {
	c := startProcesses(t, 3)
	stranger := c.stranger("n4", c.readClusterKeys(c.files.clusterKey())[0])
	join := stranger.args[slices.Index(stranger.args, "--join")+1]
	stranger.setFlag("--join", "")
	stranger.setFlag("--bootstrap-expect", "1")
	stranger.start()
	stranger.awaitReady()
	stranger.create(`{}`)
	stranger.stopWell()
	before := c.nodes[0].status()
	stranger.setFlag("--join", join)
	stranger.start()
	stranger.awaitReady() // it goes on to be a cluster of its own
	for _, n := range append(slices.Clone(c.nodes), stranger) {
		other := stranger.id
		if n == stranger {
			other = "n1"
		}
		c.eventually(n.id+" names "+other, func() bool {
			return n.logged(`"level":"ERROR"`, "refused a node of another cluster", `"node":"`+other+`"`, `"addr":"127.0.0.1:`)
		})
	}
	after := c.nodes[0].status()
	if after.Term != before.Term || after.Leader != before.Leader || !after.Healthy || len(after.Members) != 3 {
		t.Errorf("the cluster was %+v and is %+v", before, after)
	}
}
