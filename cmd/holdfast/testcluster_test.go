package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/api/auth"
)

// testCluster is real nodes of the very program in this process, on loopback.
type testCluster struct {
	t        *testing.T
	files    devFiles
	service  string
	operator string
	nodes    []*testNode
}

type testNode struct {
	cluster *testCluster
	args    []string
	logs    *lockedBuffer
	server  *Server
	url     string
	stop    context.CancelFunc
	ended   chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newTestCluster(t *testing.T, size int, extra ...string) *testCluster {
	t.Helper()
	files, err := openDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{t: t, files: files}
	if c.service, err = files.readKey(auth.RoleService); err != nil {
		t.Fatal(err)
	}
	if c.operator, err = files.readKey(auth.RoleOperator); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 2*size)
	join := strings.Join(ports[size:], ",")
	for i := range size {
		id := fmt.Sprintf("n%d", i+1)
		n := &testNode{cluster: c, logs: &lockedBuffer{}, args: append([]string{
			"--node-id", id, "--data-dir", filepath.Join(files.dir, id), "--http-addr", "127.0.0.1:0",
			"--cluster-addr", ports[i], "--gossip-addr", ports[size+i], "--join", join, "--bootstrap-expect", fmt.Sprint(size),
			"--cluster-key-file", files.clusterKey(), "--keys-file", files.keys(),
			"--jwt-issuer", devIssuer, "--jwt-audience", devAudience, "--jwt-jwks-file", files.jwks(),
			"--insecure-cookies", "--log-level", "debug", "--drain-wait", "0s",
		}, extra...)}
		c.nodes = append(c.nodes, n)
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.end()
		}
		if t.Failed() {
			for _, n := range c.nodes {
				t.Logf("log of %s:\n%s", n.args[1], n.logs)
			}
		}
	})
	for _, n := range c.nodes {
		n.awaitReady()
	}
	return c
}

// freePorts finds addresses on loopback that are free for TCP and UDP.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for len(addrs) < n {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			continue
		}
		defer udp.Close()
		addrs = append(addrs, tcp.Addr().String())
	}
	return addrs
}

// start opens and runs the node, as the verb does.
func (n *testNode) start() {
	n.cluster.t.Helper()
	var cfg Config
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	cfg.flags(flags)
	if _, faults := parse(flags, n.args, nil); faults != nil {
		n.cluster.t.Fatal(faults)
	}
	log := slog.New(slog.NewJSONHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := Open(cfg, log, prometheus.NewRegistry())
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.server, n.stop, n.ended, n.url = server, stop, make(chan error, 1), "http://"+server.Addr()
	ended := n.ended
	go func() {
		err := server.Run(ctx)
		if closed := server.Close(); err == nil {
			err = closed
		}
		ended <- err
	}()
}

// end stops the node as SIGTERM does, and checks that it ends well.
func (n *testNode) end() {
	n.cluster.t.Helper()
	if n.server == nil {
		return
	}
	n.stop()
	select {
	case err := <-n.ended:
		if err != nil {
			n.cluster.t.Errorf("%s: %v", n.args[1], err)
		}
	case <-time.After(30 * time.Second):
		n.cluster.t.Fatalf("%s does not end", n.args[1])
	}
	n.server = nil
}

func (n *testNode) awaitReady() {
	n.cluster.t.Helper()
	ctx, cancel := context.WithTimeout(n.cluster.t.Context(), 30*time.Second)
	defer cancel()
	if !n.server.awaitReady(ctx) {
		n.cluster.t.Fatalf("%s is not ready: %v", n.args[1], n.server.node.Ready())
	}
}

// answer is what a node said.
type answer struct {
	status int
	index  string
	body   string
}

func (a answer) member(t *testing.T, path ...string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			t.Fatalf("%v is not in %s", path, a.body)
		}
		value = object[name]
	}
	return value
}

// ask makes a request; headers are pairs.
func (n *testNode) ask(method, path, authorization, body string, headers ...string) answer {
	t := n.cluster.t
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := askClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get("Holdfast-Index"), string(raw)}
}

// login creates a session with a signed login JWT, and returns its authorization.
func (n *testNode) login() string {
	t := n.cluster.t
	t.Helper()
	jwt, err := n.cluster.files.login("user|"+rand.Text(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	created := n.ask("POST", "/api/sessions/create/", "Bearer "+jwt, `{"data":{"cart":[1]}}`)
	if created.status != http.StatusCreated {
		t.Fatal(created)
	}
	return "Session " + created.member(t, "token").(string)
}

func (c *testCluster) leader() *testNode {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		for _, n := range c.nodes {
			if n.server != nil && n.server.node.Leading() {
				return n
			}
		}
	}
	c.t.Fatal("no leader")
	return nil
}

func (c *testCluster) status(n *testNode) api.Status {
	c.t.Helper()
	got := n.ask("GET", "/cluster/status", "Bearer "+c.operator, "")
	var status api.Status
	if err := json.Unmarshal([]byte(got.body), &status); err != nil || got.status != http.StatusOK {
		c.t.Fatal(got, err)
	}
	return status
}
