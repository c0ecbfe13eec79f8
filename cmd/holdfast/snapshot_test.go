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
