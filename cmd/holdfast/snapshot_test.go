package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// snapshotVerb runs a verb of snapshot against nodes, and returns what it said.
func (c *testCluster) snapshotVerb(args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	p := &program{environ: []string{"HOLDFAST_KEY=" + c.operator}, stdout: &stdout, stderr: &stderr}
	code = p.main(context.Background(), append([]string{"snapshot"}, args...))
	return code, stdout.String(), stderr.String()
}

func mustView(t *testing.T, out string) archiveView {
	t.Helper()
	var view archiveView
	if err := json.Unmarshal([]byte(out), &view); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return view
}

func TestAnArchiveOfAnyNodeHoldsEveryWriteBeforeItAndNoSecret(t *testing.T) {
	c := newTestCluster(t, 3)
	dir := t.TempDir()
	var secrets []string
	var last answer
	for i, n := range c.nodes {
		writer := c.nodes[(i+1)%3]
		for range 5 {
			_, secret, _ := strings.Cut(writer.login(), ".")
			secrets = append(secrets, secret)
		}
		last = writer.ask("GET", "/api/stats/", "Bearer "+c.service, "", "Holdfast-Consistency", "strong")
		path := filepath.Join(dir, "a"+string(rune('0'+i)))
		code, out, errs := c.snapshotVerb("save", path, "--addr", n.url, "-o", "json")
		if code != exitDone {
			t.Fatal(code, out, errs)
		}
		view := mustView(t, out)
		if view.Sessions != uint64(5*(i+1)) || view.Users != view.Sessions || !view.Whole || view.File != path {
			t.Errorf("archive of %s: %+v", n.args[1], view)
		}
		code, out, errs = c.snapshotVerb("inspect", path, "-o", "json")
		if again := mustView(t, out); code != exitDone || again != view {
			t.Errorf("%d %+v %s", code, again, errs)
		}
	}
	at, err := session.ParseIndex(last.index)
	view := mustView(t, func() string {
		_, out, _ := c.snapshotVerb("inspect", filepath.Join(dir, "a2"), "-o", "json")
		return out
	}())
	if err != nil || view.Index < at.Index || view.Cluster != last.index[:16] {
		t.Errorf("an archive of index %d, and the last write was at %s: %v", view.Index, last.index, err)
	}
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 3 {
		t.Errorf("left in the directory: %v", names)
	}
	stat, err := os.Stat(filepath.Join(dir, "a0"))
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", stat, err)
	}
	plain, err := os.ReadFile(filepath.Join(dir, "a2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if bytes.Contains(plain, []byte(secret)) {
			t.Error("the archive holds a secret as it is shown")
		}
	}
}

func TestAnArchiveIsNeitherOverwrittenNorLeftHalf(t *testing.T) {
	c := newTestCluster(t, 1)
	c.nodes[0].login()
	path := filepath.Join(t.TempDir(), "a")
	save := func(addr string, more ...string) (int, string) {
		code, _, errs := c.snapshotVerb(append([]string{"save", path, "--addr", addr}, more...)...)
		return code, errs
	}
	if code, errs := save(c.nodes[0].url); code != exitDone {
		t.Fatal(code, errs)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, errs := save(c.nodes[0].url); code != exitFailed || !strings.Contains(errs, "--overwrite") {
		t.Error(code, errs)
	}
	if code, errs := save(c.nodes[0].url, "--overwrite"); code != exitDone {
		t.Error(code, errs)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"cut by the connection": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(whole[:len(whole)/2])
		},
		"cut before it was sent": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole[:len(whole)-1]) },
		"no archive at all":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) },
		"refused":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
	} {
		code, _, errs := verbAgainst(t, answer, "snapshot", "save", path+"2")
		if code != exitFailed || errs == "" {
			t.Errorf("%s: %d %q", name, code, errs)
		}
		if names, _ := filepath.Glob(path + "2*"); len(names) != 0 {
			t.Errorf("%s: left %v", name, names)
		}
	}
}

func TestInspectSaysWhatIsWrongWithAnArchive(t *testing.T) {
	c := newTestCluster(t, 1)
	c.nodes[0].login()
	path := filepath.Join(t.TempDir(), "a")
	if code, _, errs := c.snapshotVerb("save", path, "--addr", c.nodes[0].url); code != exitDone {
		t.Fatal(errs)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := c.snapshotVerb("inspect", path); code != exitDone || !strings.Contains(out, "whole") || !strings.Contains(out, "1 of 1 users") {
		t.Errorf("%d %s", code, out)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 4
	newer := bytes.Clone(whole)
	newer[9] = 200
	for name, broken := range map[string][]byte{
		"cut short": whole[:len(whole)-40], "damaged": flipped, "later release": newer, "not a Holdfast archive": []byte("PK\x03\x04 something else entirely"),
	} {
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := c.snapshotVerb("inspect", path, "-o", "json")
		if code != exitFailed || !strings.Contains(errs, name) {
			t.Errorf("%s: %d %q", name, code, errs)
		}
		if out != "" {
			if view := mustView(t, out); view.Whole || !strings.Contains(view.Fault, name) {
				t.Errorf("%s: %+v", name, view)
			}
		}
	}
}

// operated waits until the cluster has the feature level of restores.
func (c *testCluster) operated() *testCluster {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, n := range c.nodes {
		for reached, known := n.server.machine.Level(); reached < known; reached, _ = n.server.machine.Level() {
			if time.Now().After(deadline) {
				c.t.Fatalf("the feature level is %d of %d", reached, known)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return c
}

func (c *testCluster) mustRestore(n *testNode, path string, more ...string) restoreAnswer {
	c.t.Helper()
	code, out, errs := c.snapshotVerb(append([]string{"restore", path, "--yes", "--addr", n.url, "-o", "json"}, more...)...)
	var done restoreAnswer
	if err := json.Unmarshal([]byte(out), &done); code != exitDone || err != nil {
		c.t.Fatal(code, out, errs)
	}
	return done
}

// current is what a node says of the session of an authorization, with a strong read.
func (n *testNode) current(authorization string) answer {
	n.cluster.t.Helper()
	return n.ask("GET", "/api/sessions/current/", authorization, "", "Holdfast-Consistency", "strong")
}

func TestARestoreThroughAnyNodeIsSeenOnAllOfThem(t *testing.T) {
	c := newTestCluster(t, 3).operated()
	path := filepath.Join(t.TempDir(), "a")
	alice, bob := c.nodes[0].login(), c.nodes[1].login()
	if code, _, errs := c.snapshotVerb("save", path, "--addr", c.nodes[2].url); code != exitDone {
		t.Fatal(errs)
	}
	changed := c.nodes[1].ask("PATCH", "/api/sessions/current/", alice, `{"cart":[1,2,3]}`)
	c.nodes[1].ask("DELETE", "/api/sessions/current/", bob, "")
	carol := c.nodes[2].login()
	before := c.status(c.nodes[0]).Cluster
	for i, n := range c.nodes {
		done := c.mustRestore(n, path)
		if first := i == 0; done.SkippedDead != 1 || (done.Restored == 1) != first || (done.Unchanged == 1) == first || done.Cluster == before {
			t.Errorf("through %s: %+v", n.args[1], done)
		}
		before = done.Cluster
	}
	for _, n := range c.nodes {
		got := n.current(alice)
		if got.status != http.StatusOK || len(got.member(t, "session", "data", "cart").([]any)) != 1 || got.member(t, "session", "version") != 3.0 {
			t.Errorf("alice on %s: %v", n.args[1], got)
		}
		if got := n.current(bob); got.status != http.StatusUnauthorized {
			t.Errorf("bob on %s: %v", n.args[1], got)
		}
		if got := n.current(carol); got.status != http.StatusOK || got.index[:16] != before {
			t.Errorf("carol on %s: %v", n.args[1], got)
		}
		if got := c.status(n).Cluster; got != before {
			t.Errorf("%s is in cluster %s, and was restored as %s", n.args[1], got, before)
		}
		// An index of the cluster from before is not believed, however far it is.
		old := changed.index[:17] + "999999999"
		if got := n.ask("GET", "/api/sessions/current/", alice, "", "Holdfast-Index", old); got.status != http.StatusOK {
			t.Errorf("an index of before, on %s: %v", n.args[1], got)
		}
	}
	// Nodes know each other by the log's own name, which has not changed.
	c.nodes[2].end()
	c.nodes[2].start()
	c.nodes[2].awaitReady()
	if got := c.nodes[2].current(alice); got.status != http.StatusOK {
		t.Errorf("after a restart: %v", got)
	}
}

func TestAnEmptyClusterIsFilledFromAnArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	source := newTestCluster(t, 1)
	alice := source.nodes[0].login()
	if code, _, errs := source.snapshotVerb("save", path, "--addr", source.nodes[0].url); code != exitDone {
		t.Fatal(errs)
	}
	c := newTestCluster(t, 3).operated()
	n := c.nodes[1]
	code, _, errs := c.snapshotVerb("restore", path, "--yes", "--addr", n.url)
	if code != exitFailed || !strings.Contains(errs, "sessions=all") {
		t.Errorf("without a word: %d %q", code, errs)
	}
	if code, _, errs := c.snapshotVerb("restore", path, "--addr", n.url); code != exitFailed || !strings.Contains(errs, "--yes") {
		t.Errorf("with nobody to ask: %d %q", code, errs)
	}
	done := c.mustRestore(n, path, "--sessions", "all")
	if again := c.mustRestore(c.nodes[0], path, "--sessions", "all"); done.Restored != 1 || again.Index != done.Index || again.Cluster != done.Cluster {
		t.Errorf("%+v, and again %+v", done, again)
	}
	for _, n := range c.nodes {
		if got := n.current(alice); got.status != http.StatusOK {
			t.Errorf("%s: %v", n.args[1], got)
		}
	}
	if code, _, errs := c.snapshotVerb("restore", path, "--yes", "--addr", n.url, "--sessions", "none"); code != exitFailed || !strings.Contains(errs, "has had sessions") {
		t.Errorf("a running cluster, with a word: %d %q", code, errs)
	}
}

// Over the wire, past the verb that would have refused it here.
func TestANodeRefusesABrokenArchiveAndChangesNothing(t *testing.T) {
	c := newTestCluster(t, 1).operated()
	n := c.nodes[0]
	alice := n.login()
	whole := n.ask("GET", "/cluster/snapshot", "Bearer "+c.operator, "").body
	n.ask("PATCH", "/api/sessions/current/", alice, `{"cart":[]}`)
	before := c.status(n).Cluster
	for name, archive := range map[string]string{
		"cut": whole[:len(whole)-1], "altered": whole[:60] + "X" + whole[61:], "newer": whole[:9] + "\x09" + whole[10:], "foreign": "{}", "empty": "",
	} {
		got := n.ask("PUT", "/cluster/snapshot", "Bearer "+c.operator, archive)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "nothing was changed") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := n.current(alice); got.member(t, "session", "version") != 2.0 || c.status(n).Cluster != before {
		t.Errorf("something has changed: %v", got)
	}
	if got := n.ask("PUT", "/cluster/snapshot", "Bearer "+c.operator, whole); got.status != http.StatusOK {
		t.Error(got)
	}
}
