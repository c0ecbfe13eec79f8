package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/api/auth"
)

// processCluster is the real binary, once for each node, to be killed and paused.
type processCluster struct {
	t                 *testing.T
	files             devFiles
	service, operator string
	nodes             []*processNode
}

type processNode struct {
	cluster *processCluster
	id, url string
	dir     string
	args    []string
	log     string
	program string    // the binary; empty for this one
	process *exec.Cmd // nil while it does not run
}

// patience is how long a test waits for what must happen at some time. It is no promise of speed.
const patience = time.Minute

// startProcesses starts a cluster of real processes. Ports are given, not found by the nodes: they must be the same
// after a restart.
func startProcesses(t *testing.T, size int, extra ...string) *processCluster {
	t.Helper()
	c := newProcesses(t, size, extra...)
	c.startAll()
	return c
}

// startAll starts every node and waits until all are ready.
func (c *processCluster) startAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
}

// newProcesses makes a cluster whose nodes are not started yet.
func newProcesses(t *testing.T, size int, extra ...string) *processCluster {
	t.Helper()
	files, err := openDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &processCluster{t: t, files: files}
	if c.service, err = files.readKey(auth.RoleService); err != nil {
		t.Fatal(err)
	}
	if c.operator, err = files.readKey(auth.RoleOperator); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3*size)
	gossip := ports[2*size:]
	for i := range size {
		id := fmt.Sprintf("n%d", i+1)
		n := &processNode{
			cluster: c, id: id, url: "http://" + ports[i], dir: filepath.Join(files.dir, id), log: filepath.Join(files.dir, id+".log"),
		}
		n.args = append([]string{
			"server", "--node-id", id, "--data-dir", n.dir, "--http-addr", ports[i],
			"--cluster-addr", ports[size+i], "--gossip-addr", gossip[i], "--join", strings.Join(gossip, ","),
			"--bootstrap-expect", fmt.Sprint(size), "--cluster-key-file", files.clusterKey(), "--keys-file", files.keys(),
			"--insecure-cookies", "--drain-wait", "0s",
		}, extra...)
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(c.end)
	return c
}

// end kills what still runs, and shows the logs of a test that failed.
func (c *processCluster) end() {
	for _, n := range c.nodes {
		n.kill()
	}
	if !c.t.Failed() {
		return
	}
	for _, n := range c.nodes {
		said, _ := os.ReadFile(n.log)
		c.t.Logf("log of %s:\n%s", n.id, said[max(0, len(said)-8<<10):])
	}
}

func (n *processNode) start() {
	t := n.cluster.t
	t.Helper()
	program, err := n.program, error(nil)
	if program == "" {
		program, err = exec.LookPath("holdfast") // this test binary, by TestMain
	}
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, n.args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, childAttributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.process = cmd
}

// kill ends the process with SIGKILL.
func (n *processNode) kill() {
	if n.process == nil {
		return
	}
	_ = n.process.Process.Kill() // fails only if it has ended
	_ = n.process.Wait()         // says that it was killed
	n.process = nil
}

func (n *processNode) signal(s os.Signal) {
	n.cluster.t.Helper()
	if err := n.process.Process.Signal(s); err != nil {
		n.cluster.t.Fatal(err)
	}
}

// stopWell sends SIGTERM, and checks that the node drains and ends with exit code 0.
func (n *processNode) stopWell() {
	n.cluster.t.Helper()
	n.signal(syscall.SIGTERM)
	if err := n.process.Wait(); err != nil {
		n.cluster.t.Errorf("%s after SIGTERM: %v", n.id, err)
	}
	n.process = nil
}

func (c *processCluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for limit := time.Now().Add(patience); !ok(); {
		if time.Now().After(limit) {
			c.t.Fatalf("not within %s: %s", patience, what)
		}
		pause(c.t.Context(), 20*time.Millisecond)
	}
}

func (n *processNode) awaitReady() {
	n.cluster.t.Helper()
	n.cluster.eventually(n.id+" is ready", func() bool {
		return answersOK(n.cluster.t.Context(), strings.TrimPrefix(n.url, "http://"), "/readyz")
	})
}

func (c *processCluster) leader() *processNode {
	c.t.Helper()
	var leader *processNode
	c.eventually("a leader", func() bool {
		for _, n := range c.nodes {
			if n.process != nil && answersOK(c.t.Context(), strings.TrimPrefix(n.url, "http://"), "/leaderz") {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

func (c *processCluster) others(than *processNode) []*processNode {
	var rest []*processNode
	for _, n := range c.nodes {
		if n != than {
			rest = append(rest, n)
		}
	}
	return rest
}

// request makes one request; an error is the network's. It may be called from any goroutine.
func (n *processNode) request(method, path, authorization, body string, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := askClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Holdfast-Index"), string(raw)}, err
}

func (n *processNode) ask(method, path, authorization, body string, headers ...string) answer {
	n.cluster.t.Helper()
	got, err := n.request(method, path, authorization, body, headers...)
	if err != nil {
		n.cluster.t.Fatalf("%s %s on %s: %v", method, path, n.id, err)
	}
	return got
}

// create makes a session with the service key and returns its authorization.
func (n *processNode) create(data string) string {
	n.cluster.t.Helper()
	got := n.ask("POST", "/api/sessions/create/", "Bearer "+n.cluster.service, `{"user_id":"u`+rand.Text()+`","data":`+data+`}`)
	if got.status != http.StatusCreated {
		n.cluster.t.Fatal(got)
	}
	return "Session " + got.member(n.cluster.t, "token").(string)
}

// status is the cluster as a node sees it, zero if it does not say.
func (n *processNode) status() (status api.Status) {
	got, err := n.request("GET", "/cluster/status", "Bearer "+n.cluster.operator, "")
	if err != nil || got.status != http.StatusOK {
		return status
	}
	_ = json.Unmarshal([]byte(got.body), &status)
	return status
}

// converge waits until all nodes are healthy and have the same state hash at the same index.
func (c *processCluster) converge() {
	c.t.Helper()
	c.eventually("all nodes are healthy and have one state", func() bool {
		status := c.nodes[0].status()
		hashes := make(map[string]bool)
		for _, m := range status.Members {
			hashes[m.StateHash] = true
		}
		return status.Healthy && len(status.Members) == len(c.nodes) && len(hashes) == 1
	})
}

func (n *processNode) said(what string) bool {
	raw, err := os.ReadFile(n.log)
	return err == nil && bytes.Contains(raw, []byte(what))
}

// countingClient is one that counts upwards in one session, through one node, and remembers what was acknowledged.
type countingClient struct {
	node    *processNode
	session string
	acked   int // the last acknowledged value
	failed  []string
}

// run counts until stop is closed.
func (w *countingClient) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		got, err := w.node.request("PATCH", "/api/sessions/current/", w.session, fmt.Sprintf(`{"n":%d}`, w.acked+1))
		if err != nil || got.status != http.StatusOK {
			w.failed = append(w.failed, fmt.Sprintf("%s: %v %v", w.node.id, got, err))
			return
		}
		w.acked++
	}
}

// count runs so many counters on each of the nodes while during happens.
func (c *processCluster) count(nodes []*processNode, each int, during func(progress func())) []*countingClient {
	c.t.Helper()
	stop := make(chan struct{})
	var counters []*countingClient
	var running sync.WaitGroup
	for _, n := range nodes {
		for range each {
			w := &countingClient{node: n, session: n.create(`{"n":0}`)}
			counters = append(counters, w)
			running.Go(func() { w.run(stop) })
		}
	}
	// progress waits until the log has grown by what all counters do in a while.
	progress := func() {
		before := nodes[0].status()
		c.eventually("writes go on", func() bool { return applied(nodes[0].status(), nodes[0].id) >= applied(before, nodes[0].id)+50 })
	}
	during(progress)
	close(stop)
	running.Wait()
	return counters
}

func applied(s api.Status, id string) uint64 {
	for _, m := range s.Members {
		if m.ID == id {
			return m.AppliedIndex
		}
	}
	return 0
}
