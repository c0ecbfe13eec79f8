package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func eventJSON(id int, user string) string {
	quoted, _ := json.Marshal(user) // a string can be written
	return fmt.Sprintf(`{"id":"%d-0","type":"revoked","time":"2026-03-01T12:00:00.000Z","session_id":"0195-x","user_id":%s,"tenant_id":null,"version":1,"reason":"logout"}`, id, quoted)
}

func TestEventsTailPrintsWhatIsKept(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Get("user_id") != "alice" || q.Get("type") != "revoked":
			w.WriteHeader(400)
		case q.Get("after") == "5-0":
			fmt.Fprintf(w, `{"events":[%s,%s],"next":"7-0"}`, eventJSON(6, "alice"), eventJSON(7, "evil\x1b[2J"))
		case q.Get("after") == "7-0":
			fmt.Fprintf(w, `{"events":[%s]}`, eventJSON(8, "alice"))
		}
	}
	args := []string{"events", "tail", "--no-follow", "--since", "5-0", "--user-id", "alice", "--type", "revoked"}
	code, out, errs := verbAgainst(t, handler, args...)
	if code != exitDone || strings.Count(out, "\n") != 3 || strings.Contains(out, "\x1b") || !strings.Contains(out, "8-0") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, out, _ = verbAgainst(t, handler, append(args, "-o", "json")...)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitDone || len(lines) != 3 || lines[0] != eventJSON(6, "alice") {
		t.Errorf("%d %q", code, out)
	}
}

// A stream that breaks goes on at the next node, from where it stopped.
func TestEventsTailFollowsFromNodeToNode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls atomic.Int32
	handler := func(w http.ResponseWriter, r *http.Request) {
		resumed := r.Header.Get("Last-Event-ID")
		say := func(ids ...int) {
			for _, id := range ids {
				fmt.Fprintf(w, "id: %d-0\nevent: revoked\ndata: %s\n\n:\n\n", id, eventJSON(id, "alice"))
			}
		}
		switch n := calls.Add(1); {
		case n == 1 && resumed == "":
			fmt.Fprint(w, "id: 3-9\nretry: 1000\n\n") // and breaks before anything has happened
		case n == 2 && resumed == "3-9":
			say(4, 5)
			fmt.Fprintf(w, "id: 6-0\nevent: revoked\ndata: %s\n", eventJSON(6, "alice")[:40]) // broken off in the middle: it counts as not seen
		case n == 3 && resumed == "5-0":
			w.WriteHeader(503)
		case n == 4 && resumed == "5-0":
			say(6)
		case n == 5 && resumed == "6-0":
			cancel() // somebody presses ^C
		default:
			t.Errorf("call %d resumes after %q", n, resumed)
			cancel()
		}
	}
	node := httptest.NewServer(http.HandlerFunc(handler))
	defer node.Close()
	var out, errs bytes.Buffer
	p := &program{environ: []string{"HOLDFAST_KEY=hfk_secret", "HOLDFAST_ADDR=" + deadAddr(t) + "," + node.URL}, stdout: &out, stderr: &errs}
	if code := p.main(ctx, []string{"events", "tail", "-o", "json"}); code != exitDone {
		t.Errorf("%d %s", code, &errs)
	}
	if want := eventJSON(4, "alice") + "\n" + eventJSON(5, "alice") + "\n" + eventJSON(6, "alice") + "\n"; out.String() != want {
		t.Errorf("got %s\nwant %s", &out, want)
	}
}

func TestWhatANodeSaysCannotMoveTheCursor(t *testing.T) {
	_, _, errs := verbAgainst(t, answering(403, `{"code":"forbid\u001b[2Jden","detail":"\u001b[2Jno\u202e"}`), "events", "tail")
	if strings.ContainsAny(errs, "\x1b\u202e") {
		t.Errorf("%q", errs)
	}
}

// A first node may have ended the session without saying so.
func TestARevokedSessionThatIsGoneAfterAnUnknownOutcomeIsDone(t *testing.T) {
	var calls atomic.Int32
	handler := func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(503)
			fmt.Fprint(w, `{"code":"outcome_unknown"}`)
			return
		}
		w.WriteHeader(404)
		fmt.Fprint(w, `{"code":"not_found"}`)
	}
	node := httptest.NewServer(http.HandlerFunc(handler))
	defer node.Close()
	var out, errs bytes.Buffer
	p := &program{environ: []string{"HOLDFAST_KEY=hfk_secret", "HOLDFAST_ADDR=" + node.URL + "," + node.URL}, stdout: &out, stderr: &errs}
	if code := p.main(t.Context(), []string{"sessions", "revoke", "0195-a"}); code != exitDone || !strings.HasPrefix(out.String(), "1 ") {
		t.Errorf("%d %s %s", code, &out, &errs)
	}
}

func TestEventsTailGivesUpOnARefusal(t *testing.T) {
	code, _, errs := verbAgainst(t, answering(403, `{"code":"forbidden","detail":"This call needs a service key."}`), "events", "tail")
	if code != exitFailed || !strings.Contains(errs, "forbidden") {
		t.Errorf("%d %q", code, errs)
	}
	code, _, errs = verbAgainst(t, answering(200, ""), "events", "tail", "--type", "nothing", "--since", "x", "--session-id", "1")
	if code != exitUsage || strings.Count(errs, "\n") < 3 {
		t.Errorf("%d %q", code, errs)
	}
}

const aSession = `{"id":"0195-a","user_id":"alice","tenant_id":null,"version":3,"created_at":"2026-03-01T12:00:00.000Z","last_active_at":"2026-03-01T12:00:00.000Z","expires_in":90,"device":{"ip":"192.0.2.1","name":"Firefox on Linux","label":null}}`

func TestSessionsAreListedReadAndEnded(t *testing.T) {
	var ended []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "GET" && r.URL.Path == "/api/sessions/" && r.URL.Query().Get("user_id") == "a&b":
			if r.URL.Query().Get("cursor") == "" {
				fmt.Fprintf(w, `{"sessions":[%s],"next":"c1"}`, aSession)
			} else {
				fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Replace(aSession, "0195-a", "0195-b", 1))
			}
		case r.Method == "GET" && r.URL.Path == "/api/sessions/by-id/0195-a/":
			fmt.Fprintf(w, `{"session":%s}`, aSession)
		case r.Method == "DELETE" && r.URL.Path == "/api/sessions/by-id/0195-a/":
			ended = append(ended, "a")
			w.WriteHeader(204)
		case r.Method == "POST" && r.URL.Path == "/api/sessions/invalidate-all/" && r.Header.Get("Content-Type") == "application/json":
			fmt.Fprint(w, `{"revoked":2,"index":9,"applied_on":["n1","n2"],"missing":["n3"]}`)
		default:
			w.WriteHeader(404)
			fmt.Fprint(w, `{"code":"not_found","detail":"there is no such session"}`)
		}
	}
	for _, c := range []struct {
		args string
		code int
		out  []string
		errs string
	}{
		{"sessions list --user-id a&b", exitDone, []string{"0195-a", "Firefox on Linux", "1m30s"}, ""},
		{"sessions list --user-id a&b --all", exitDone, []string{"0195-a", "0195-b"}, ""},
		{"sessions list --user-id a&b --all -o json", exitDone, []string{"0195-a", "0195-b", `"version": 3`}, ""},
		{"sessions list", exitUsage, nil, "user-id or tenant-id"},
		{"sessions list --user-id a --tenant-id b --limit 0", exitUsage, nil, "limit must be"},
		{"sessions get 0195-a", exitDone, []string{"alice"}, ""},
		{"sessions get", exitUsage, nil, "argument"},
		{"sessions get nothing", exitFailed, nil, "not_found"},
		{"sessions revoke gone 0195-a", exitFailed, []string{"1 session(s) revoked"}, "gone"},
		{"sessions revoke 0195-a", exitDone, []string{"1 session(s) revoked"}, ""},
		{"sessions revoke-user alice", exitFailed, []string{"2 session(s) revoked"}, "n3"},
		{"sessions revoke-user alice --wait", exitFailed, []string{"applied on: n1, n2"}, "not yet applied on: n3"},
	} {
		code, out, errs := verbAgainst(t, handler, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: %d %q %q", c.args, code, out, errs)
		}
		for _, want := range c.out {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in %s", c.args, want, out)
			}
		}
	}
	if len(ended) != 2 {
		t.Errorf("%d sessions were ended", len(ended))
	}
}
