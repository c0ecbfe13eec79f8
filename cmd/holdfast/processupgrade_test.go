package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildOlder builds the release before this one: from its tag, or, as long as there is none, this tree with only the
// commands of the first feature level.
func buildOlder(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "holdfast-older")
	build := exec.Command("go", "build", "-tags", "holdfast_level1", "-o", program, ".")
	if tag := previousRelease(t); tag != "" {
		source := t.TempDir()
		unpack := exec.Command("sh", "-c", `git -C ../.. archive "$1" | tar -x -C "$2"`, "sh", tag, source)
		if said, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v\n%s", tag, err, said)
		}
		build = exec.Command("go", "build", "-o", program, "./cmd/holdfast")
		build.Dir = source
		t.Logf("the older release is %s", tag)
	}
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the older release: %v\n%s", err, said)
	}
	return program
}

// previousRelease is the newest tag before this commit, empty if there is none. A source without its history has none.
func previousRelease(t *testing.T) string {
	t.Helper()
	said, err := exec.Command("git", "-C", "../..", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(said))
}

func TestAnOlderAndANewerReleaseRunSideBySideAndALevelIsNeverLeft(t *testing.T) {
	older := buildOlder(t)
	c := newProcesses(t, 3)
	for _, n := range c.nodes {
		n.program = older
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	c.converge()
	level := c.nodes[0].status().FeatureLevel

	sessions := []string{c.nodes[0].create(`{"n":1}`)}
	alive := func() {
		t.Helper()
		for i, session := range sessions {
			got := c.nodes[i%len(c.nodes)].ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong")
			if got.status != http.StatusOK {
				t.Errorf("session %d: %v", i, got)
			}
		}
	}
	// One node after the other, as an operator would; what each leads in is understood by all.
	for i, n := range c.nodes {
		n.stopWell()
		n.program = ""
		n.start()
		n.awaitReady()
		if i < len(c.nodes)-1 {
			for _, through := range c.nodes {
				sessions = append(sessions, through.create(`{"n":2}`))
			}
			c.converge()
			if now := c.nodes[i].status().FeatureLevel; now != level {
				t.Fatalf("with %d of 3 upgraded the level went from %d to %d", i+1, level, now)
			}
		}
		alive()
	}
	c.eventually("the level rises once all are upgraded", func() bool { return c.nodes[0].status().FeatureLevel > level })
	c.converge()

	// Back again is refused, with the reason, and nothing is changed.
	back := c.others(c.leader())[0]
	back.stopWell()
	back.program = older
	back.start()
	if code := back.wait(t); code != exitFailed {
		t.Errorf("a downgrade ends with code %d", code)
	}
	if !back.said("a downgrade below the cluster's feature level is not possible") {
		t.Error("it does not say why")
	}
	if _, err := os.Stat(filepath.Join(back.dir, "damaged.json")); err == nil {
		t.Error("a downgrade counts as damage")
	}
	back.program = ""
	back.start()
	back.awaitReady()
	c.converge()
	alive()
}

// wait waits until the process has ended, and returns its exit code.
func (n *processNode) wait(t *testing.T) int {
	t.Helper()
	done := make(chan error, 1)
	process := n.process
	go func() { done <- process.Wait() }()
	select {
	case <-done:
	case <-time.After(patience):
		_ = process.Process.Kill()
		<-done
		t.Fatalf("%s goes on", n.id)
	}
	n.process = nil
	return process.ProcessState.ExitCode()
}
