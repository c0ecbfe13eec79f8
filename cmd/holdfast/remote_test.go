package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// verbAgainst runs a client verb against nodes that answer as handler does, after an address where nobody listens.
func verbAgainst(t *testing.T, handler http.HandlerFunc, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	node := httptest.NewServer(handler)
	t.Cleanup(node.Close)
	var out, errs bytes.Buffer
	p := &program{environ: []string{"HOLDFAST_KEY=hfo_secret", "HOLDFAST_ADDR=" + deadAddr(t) + "," + node.URL}, stdout: &out, stderr: &errs}
	code = p.main(t.Context(), args)
	if strings.Contains(out.String()+errs.String(), "hfo_secret") {
		t.Error("the key is printed")
	}
	return code, out.String(), errs.String()
}

// deadAddr is an address where nobody listens any more.
func deadAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hfo_secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const statusAnswer = `{"cluster":"00000000000000aa","leader":"n1","term":7,"healthy":true,"failure_tolerance":1,"members":[
{"id":"n1","http_addr":"h1","cluster_addr":"c1","version":"v1","role":"voter","voter":true,"state":"leader","last_contact_ms":12,"applied_index":99,"state_hash":"99:ab","keys_digest":"k","healthy":true},
{"id":"n2\u001b[2J","http_addr":"h2","cluster_addr":"c2","version":"v1","role":"voter","voter":true,"state":"down","last_contact_ms":-1,"healthy":false,"detail":"does not answer"}]}`

func TestClusterStatusIsATableAndASentence(t *testing.T) {
	code, out, errs := verbAgainst(t, answering(200, statusAnswer), "cluster", "status")
	if code != exitDone {
		t.Fatal(code, errs)
	}
	for _, want := range []string{"n1", "leader", "12ms", "never", "no: does not answer", "term 7, leader n1", "\nhealthy: survives the loss of 1 more node\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a node's name moves the cursor")
	}
	code, out, _ = verbAgainst(t, answering(200, statusAnswer), "cluster", "status", "-o", "json")
	if code != exitDone || !strings.Contains(out, `"failure_tolerance": 1`) {
		t.Error(code, out)
	}
}

func TestCleanupAndStatsSayWhatTheNodeAnswers(t *testing.T) {
	code, out, errs := verbAgainst(t, answering(200, `{"expired":3}`), "cleanup")
	if code != exitDone || out != "3 expired session(s) removed\n" {
		t.Error(code, out, errs)
	}
	code, out, errs = verbAgainst(t, answering(200, `{"sessions":5,"users":4,"database_bytes":1048576}`), "sessions", "stats")
	if code != exitDone || !strings.Contains(out, "1.0 MiB") {
		t.Error(code, out, errs)
	}
}

func TestAProblemDocumentIsPrintedAsASentence(t *testing.T) {
	problem := `{"type":"/errors/forbidden","title":"Forbidden","status":403,"code":"forbidden","detail":"This needs an operator key."}`
	code, out, errs := verbAgainst(t, answering(403, problem), "cleanup")
	if code != exitFailed || out != "" || !strings.Contains(errs, "answers: This needs an operator key (403 forbidden)\n") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, _, errs = verbAgainst(t, answering(500, "<html>"), "cleanup")
	if code != exitFailed || !strings.Contains(errs, "Internal Server Error (500)") {
		t.Errorf("%d %q", code, errs)
	}
	code, _, errs = verbAgainst(t, answering(200, "<html>"), "cleanup")
	if code != exitFailed || !strings.Contains(errs, "not JSON") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestANodeThatCannotServeNowIsPassedOver(t *testing.T) {
	draining := httptest.NewServer(answering(503, `{"code":"draining","detail":"This node is going away."}`))
	defer draining.Close()
	well := httptest.NewServer(answering(200, `{"expired":1}`))
	defer well.Close()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs}
	if code := p.main(t.Context(), []string{"cleanup", "--key", "hfo_secret", "--addr", draining.URL + "," + well.URL}); code != exitDone {
		t.Error(code, errs.String())
	}
}

func TestTheKeyIsNotCarriedAlongARedirect(t *testing.T) {
	code, _, errs := verbAgainst(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, "cleanup")
	if code != exitFailed || !strings.Contains(errs, "307") {
		t.Error(code, errs)
	}
}
