package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/api/auth"
	"github.com/holdfastdb/holdfast/session"
)

// event is one of a session that the test has made.
func (n *node) event(index uint64, what session.EventType, id, user string) session.Event {
	return session.Event{
		ID: session.EventID{Index: index, Ordinal: 1}, Time: n.sessions.now, Type: what, SessionID: must(session.ParseID(id)), UserID: user,
		Version: 1, Reason: map[bool]string{true: "logout"}[what == session.EventRevoked],
	}
}

func TestEventsArePagedByWhoMaySeeThem(t *testing.T) {
	n := newNode(t, nil)
	mine, id := n.login(`{"user_id":"u1"}`)
	_, other := n.login(`{"user_id":"u2"}`)
	for i := range 5 {
		n.sessions.say(n.event(uint64(100+i), session.EventUpdated, id, "u1"))
		n.sessions.say(n.event(uint64(200+i), session.EventRevoked, other, "u2"))
	}
	first := n.do("GET", "/api/sessions/events/?limit=3", "", token(mine)).want(200)
	if got := len(first.get("events").([]any)); got != 3 || first.text("next") != "102-1" {
		t.Errorf("%d events, next %q", got, first.text("next"))
	}
	rest := n.do("GET", "/api/sessions/events/?after=102-1", "", token(mine)).want(200)
	if strings.Count(rest.body, `"user_id":"u1"`) != 2 || strings.Contains(rest.body, "u2") || rest.get("next") != nil {
		t.Errorf("the second page is %s", rest.body)
	}
	for _, query := range []string{"user_id=u2", "type=revoked", "session_id=" + other} {
		a := n.do("GET", "/api/events/?"+query, "", bearer(n.service)).want(200)
		if strings.Count(a.body, `"reason":"logout"`) != 5 || strings.Contains(a.body, "updated") {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	for _, query := range []string{"after=x", "after=1", "limit=0", "limit=1001", "type=nothing", "session_id=1", "user_id=%00", "user_id="} {
		n.do("GET", "/api/events/?"+query, "", bearer(n.service)).wantCode(400, "invalid_request")
	}
	n.do("GET", "/api/sessions/events/?limit=x", "", token(mine)).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/events/", "").wantCode(401, "session_invalid")
	n.do("GET", "/api/events/", "").wantCode(401, "key_invalid")
	n.do("GET", "/api/events/", "", token(mine)).wantCode(403, "forbidden")
	n.do("GET", "/api/events/", "", bearer(n.service), beside(mine)).wantCode(403, "forbidden")

	anonymous, visit := n.login(`{}`)
	n.sessions.say(n.event(300, session.EventUpdated, visit, ""))
	a := n.do("GET", "/api/sessions/events/", "", token(anonymous)).want(200)
	if strings.Count(a.body, `"id"`) != 1 || !strings.Contains(a.body, visit) {
		t.Errorf("an anonymous session sees %s", a.body)
	}
}

// hearer reads a stream of Server-Sent Events. It goes around the contract, which reads an answer whole.
type hearer struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
	begins   string // the id to come back with
}

func (n *node) listen(path string, headers ...string) *hearer {
	n.t.Helper()
	request := must(http.NewRequestWithContext(n.t.Context(), "GET", "http://"+n.addr+path, nil))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	response := must(http.DefaultTransport.RoundTrip(request))
	n.t.Cleanup(func() {
		response.Body.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		n.t.Fatalf("%d %s", response.StatusCode, got)
	}
	l := &hearer{t: n.t, response: response, lines: bufio.NewReader(response.Body)}
	var ok bool
	if l.begins, ok = strings.CutSuffix(strings.TrimPrefix(l.frame(), "id: "), "|retry: 1000"); !ok {
		n.t.Fatalf("the stream begins with %q", l.begins)
	}
	return l
}

// frame reads up to an empty line; it is empty at the end of the stream.
func (l *hearer) frame() string {
	var all []string
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil || line == "\n" {
			return strings.Join(all, "|")
		}
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
}

// wants reads one event, and demands its id and name, and that its data is an object of the event.
func (l *hearer) wants(id, name string) {
	l.t.Helper()
	frame := l.frame()
	data, ok := strings.CutPrefix(frame, "id: "+id+"|event: "+name+"|data: ")
	var object map[string]any
	if !ok || json.Unmarshal([]byte(data), &object) != nil || object["id"] != id {
		l.t.Fatalf("got %q, want %s %s", frame, id, name)
	}
}

func TestAnOwnStreamTellsWhatHappensAndEndsWithTheSession(t *testing.T) {
	n := newNode(t, nil)
	mine, id := n.login(`{"user_id":"u1"}`)
	n.sessions.say(n.event(5, session.EventCreated, id, "u1")) // before: nothing of a stream that begins now
	l := n.listen("/api/sessions/current/events/", asCookie(mine))
	if got := n.sessions.followed; got.Session.String() != id || got.After.Index != n.sessions.index || l.begins != got.After.String() {
		t.Errorf("the stream asks for %+v, and begins with %s", got, l.begins)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store", "Holdfast-Node": "n1", "X-Accel-Buffering": "no"} {
		if got := l.response.Header.Get(header); got != want {
			t.Errorf("%s is %q", header, got)
		}
	}
	for i, what := range []session.EventType{session.EventUpdated, session.EventSuspicious, session.EventRotated, session.EventRefreshed, session.EventEvicted, session.EventUpdated} {
		n.sessions.say(n.event(uint64(100+i), what, id, "u1"))
	}
	l.wants("100-1", "updated")
	l.wants("102-1", "refreshed")
	l.wants("103-1", "refreshed")
	l.wants("104-1", "revoked")
	if frame := l.frame(); frame != "" {
		t.Errorf("after the end came %q", frame)
	}
}

func TestAStreamResumes(t *testing.T) {
	n := newNode(t, nil)
	mine, id := n.login(`{"user_id":"u1"}`)
	for i := range 3 {
		n.sessions.say(n.event(uint64(100+i), session.EventUpdated, id, "u1"))
	}
	for _, l := range []*hearer{
		n.listen("/api/sessions/current/events/", token(mine), "Last-Event-ID: 100-1"),
		n.listen("/api/sessions/current/events/?after=100-1", token(mine)),
		n.listen("/api/events/?user_id=u1", bearer(n.service), "Accept: text/event-stream", "Last-Event-ID: 100-1"),
	} {
		l.wants("101-1", "updated")
		l.wants("102-1", "updated")
	}
	n.do("GET", "/api/sessions/current/events/", "", token(mine), "Last-Event-ID: 1.5").wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/events/", "", token(mine), "Last-Event-ID: 1-1", "Last-Event-ID: 1-1").wantCode(400, "invalid_request")
	n.do("GET", "/api/events/", "", bearer(n.service), "Accept: text/event-stream", "Last-Event-ID: no").wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/events/", "").wantCode(401, "session_invalid")
	if a := n.do("HEAD", "/api/sessions/current/events/", "", token(mine)).want(200); a.body != "" {
		t.Errorf("a head has the body %q", a.body)
	}
}

func TestAServiceFollowsAllByType(t *testing.T) {
	n := newNode(t, nil)
	_, id := n.login(`{"user_id":"u1"}`)
	l := n.listen("/api/events/?type=suspicious", bearer(n.service), "Accept: text/html, text/event-stream;q=0.9")
	if n.sessions.followed.Type != session.EventSuspicious || n.sessions.followed.After.Index != n.sessions.index {
		t.Errorf("it follows %+v", n.sessions.followed)
	}
	n.sessions.say(n.event(100, session.EventSuspicious, id, "u1"))
	l.wants("100-1", "suspicious")
}

// Streams end when the node stops or may tell them nothing more, and leave nothing behind.
func TestStreamsEnd(t *testing.T) {
	n := newNode(t, nil)
	mine, _ := n.login(`{"user_id":"u1"}`)
	stale, drained := n.listen("/api/sessions/current/events/", token(mine)), n.listen("/api/sessions/current/events/", token(mine))
	n.sessions.mu.Lock()
	first := n.sessions.streams[0]
	n.sessions.mu.Unlock()
	first.gone <- session.ErrStaleNode
	if frame := stale.frame(); frame != "" {
		t.Errorf("a stream that ended says %q", frame)
	}
	if !strings.Contains(fmt.Sprint(must(n.registry.Gather())), "holdfast_http_event_streams") {
		t.Error("there is no series of streams")
	}
	n.server.Drain()
	if frame := drained.frame(); frame != "" {
		t.Errorf("a stream of a node that stops says %q", frame)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		n.sessions.mu.Lock()
		closed := n.sessions.closed
		n.sessions.mu.Unlock()
		if closed == 2 && n.server.metrics.streams.Load() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 2 streams were closed", closed)
		}
	}
	n.sessions.failWith(session.ErrOverloaded)
	n.do("GET", "/api/events/", "", bearer(n.service), "Accept: text/event-stream").wantCode(503, "overloaded")
	n.sessions.failWith(nil)
}

func TestARevokedKeyEndsItsStreams(t *testing.T) {
	var keys *auth.Keys
	n := newNode(t, func(c *Config) { keys = c.Keys })
	_, id := n.login(`{"user_id":"u1"}`)
	l := n.listen("/api/events/", bearer(n.service), "Accept: text/event-stream")
	n.sessions.say(n.event(100, session.EventUpdated, id, "u1"))
	l.wants("100-1", "updated")
	if err := auth.RevokeKey(n.keysFile, "web"); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	n.sessions.say(n.event(101, session.EventUpdated, id, "u1"))
	if frame := l.frame(); frame != "" {
		t.Errorf("after its key was revoked the stream says %q", frame)
	}
}

func TestIntrospection(t *testing.T) {
	n := newNode(t, nil)
	mine, id := n.login(`{"user_id":"u1"}`)
	dead, _ := n.login(`{"user_id":"u1"}`)
	n.do("DELETE", "/api/sessions/current/", "", token(dead)).want(204)
	body := string(must(json.Marshal(map[string]any{"tokens": []string{dead, mine, "garbage"}, "touch": true})))
	a := n.do("POST", "/api/introspect/", body, bearer(n.service), "Holdfast-Consistency: strong").want(200)
	results := a.get("results").([]any)
	if len(results) != 3 || results[0].(map[string]any)["active"] != false || results[2].(map[string]any)["active"] != false {
		t.Fatalf("the answer is %s", a.body)
	}
	if one := results[1].(map[string]any); one["active"] != true || one["session"].(map[string]any)["id"] != id {
		t.Errorf("the answer is %s", a.body)
	}
	if _, touched, at := n.sessions.last(); !touched || !at.Strong {
		t.Errorf("touched %v, %+v", touched, at)
	}
	many := string(must(json.Marshal(map[string]any{"tokens": make([]string, 101)})))
	for _, bad := range []string{"", `{}`, `{"tokens":null}`, `{"tokens":"x"}`, `{"tokens":[1]}`, `{"tokens":[],"other":1}`, many} {
		n.do("POST", "/api/introspect/", bad, bearer(n.service)).wantCode(400, "invalid_request")
	}
	n.do("POST", "/api/introspect/", `{"tokens":[]}`, bearer(n.service)).want(200)
	n.do("POST", "/api/introspect/", body).wantCode(401, "key_invalid")
	n.do("POST", "/api/introspect/", body, token(mine)).wantCode(403, "forbidden")
	n.do("POST", "/api/introspect/", body, bearer(n.service), beside(mine)).wantCode(403, "forbidden")
}

func TestLogOutEverywhereNamesWhoHasAppliedIt(t *testing.T) {
	n := newNode(t, nil)
	n.login(`{"user_id":"u1"}`)
	n.cluster.on, n.cluster.missing = []string{"n1", "n2"}, []string{"n3"}
	a := n.do("POST", "/api/sessions/invalidate-all/?wait=all", `{"user_id":"u1"}`, bearer(n.service)).want(200).wantMember("revoked", 1.0)
	if fmt.Sprint(a.get("applied_on"), a.get("missing")) != "[n1 n2] [n3]" || n.cluster.asked != n.sessions.index {
		t.Errorf("the answer is %s, asked for %d", a.body, n.cluster.asked)
	}
	// What is done is done, whoever has heard of it.
	n.cluster.on, n.cluster.missing, n.cluster.err = nil, nil, errors.New("no network")
	a = n.do("POST", "/api/sessions/invalidate-all/?wait=all", `{"user_id":"u1"}`, bearer(n.service)).want(200)
	if fmt.Sprint(a.get("applied_on"), a.get("missing")) != "[] []" {
		t.Errorf("the answer is %s", a.body)
	}
}
