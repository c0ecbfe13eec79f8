package main

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
)

// This is the procedure of docs/operations.md, "When the majority is lost for good".
func TestALostMajorityIsRecoveredFromAsTheDocumentSays(t *testing.T) {
	c := startProcesses(t, 3)
	alive := c.nodes[0].create(`{"n":1}`)
	loggedOut := c.nodes[1].create(`{"n":2}`)
	if got := c.nodes[2].ask("DELETE", "/api/sessions/current/", loggedOut, ""); got.status != http.StatusNoContent {
		t.Fatal(got)
	}
	index := c.nodes[0].ask("PATCH", "/api/sessions/current/", alive, `{"n":3}`).index
	c.converge()
	survivor := c.nodes[0]
	for _, n := range c.others(survivor) {
		n.kill()
		if err := os.RemoveAll(n.dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := survivor.ask("PATCH", "/api/sessions/current/", alive, `{"n":4}`); got.status != http.StatusServiceUnavailable {
		t.Errorf("a write without a majority: %v", got)
	}

	run := func(args ...string) (code int, said string) {
		var out bytes.Buffer
		p := &program{environ: os.Environ(), stdout: &out, stderr: &out}
		code = p.main(t.Context(), append([]string{"recover", "--data-dir", survivor.dir}, args...))
		return code, out.String()
	}
	if code, said := run(); code != exitFailed || !strings.Contains(said, "another process") && !strings.Contains(said, "stop it first") {
		t.Fatalf("while the server runs: %d %s", code, said)
	}
	survivor.kill()
	code, said := run()
	_, confirmation, ok := strings.Cut(said, "--confirm ")
	if code != exitFailed || !ok || !strings.Contains(said, "What may be lost") || !strings.Contains(said, "n1, n2, n3") {
		t.Fatalf("without a confirmation: %d %s", code, said)
	}
	if code, said := run("--confirm", "n1:1:1"); code != exitFailed || !strings.Contains(said, "not for this node and the end of its log") {
		t.Fatalf("a wrong confirmation: %d %s", code, said)
	}
	if code, said := run("--confirm", strings.TrimSpace(confirmation)); code != exitDone || !strings.Contains(said, "recovered") {
		t.Fatalf("%d %s", code, said)
	}

	survivor.start()
	survivor.awaitReady()
	// The write that was refused with an unknown outcome is in the survivor's log, or is not.
	if got := survivor.ask("GET", "/api/sessions/current/", alive, "", "Holdfast-Consistency", "strong"); got.status != http.StatusOK ||
		!strings.Contains(got.body, `"n":3`) && !strings.Contains(got.body, `"n":4`) {
		t.Errorf("the session: %v", got)
	}
	if got := survivor.ask("GET", "/api/sessions/current/", loggedOut, ""); got.status != http.StatusUnauthorized {
		t.Errorf("a session that had ended: %v", got)
	}
	// An index of the old cluster is not waited for, and answers carry one of the new.
	got := survivor.ask("PATCH", "/api/sessions/current/", alive, `{"n":5}`, "Holdfast-Index", index)
	if before, _, _ := strings.Cut(index, "."); got.status != http.StatusOK || strings.HasPrefix(got.index, before) {
		t.Errorf("with an index of the old cluster: %v", got)
	}
	for _, n := range c.others(survivor) {
		n.start()
	}
	c.converge()
	c.eventually("there are three voters again", func() bool { return survivor.status().FailureTolerance == 1 })
	for _, n := range c.nodes {
		if got := n.ask("GET", "/api/sessions/current/", alive, "", "Holdfast-Index", got.index); got.status != http.StatusOK || !strings.Contains(got.body, `"n":5`) {
			t.Errorf("%s: %v", n.id, got)
		}
	}
}
