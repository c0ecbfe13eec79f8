package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// spanReceiver is an OTLP receiver that keeps what it is sent.
type spanReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	raw   []string
	spans []otlpSpan
	nodes map[string]bool // service.instance.id
	code  int             // that it answers with
}

func newSpanReceiver(t *testing.T) *spanReceiver {
	r := &spanReceiver{nodes: make(map[string]bool), code: http.StatusOK}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *spanReceiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	raw, err := io.ReadAll(request.Body)
	var message otlpRequest
	if err != nil || request.URL.Path != "/v1/traces" || request.Method != "POST" || request.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "no OTLP", http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal(raw, &message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, string(raw))
	if r.code == http.StatusOK {
		for _, resource := range message.ResourceSpans {
			r.nodes[attributeOf(resource.Resource.Attributes, "service.instance.id")] = true
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	}
	w.WriteHeader(r.code)
	_, _ = w.Write([]byte("{}"))
}

func attributeOf(all []otlpPair, key string) string {
	for _, a := range all {
		if a.Key == key {
			switch {
			case a.Value.Text != nil:
				return *a.Value.Text
			case a.Value.Integer != nil:
				return *a.Value.Integer
			}
		}
	}
	return ""
}

// trace returns the spans of one trace by their names.
func (r *spanReceiver) trace(id string) map[string]otlpSpan {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make(map[string]otlpSpan)
	for _, s := range r.spans {
		if s.TraceID == id {
			found[s.Name] = s
		}
	}
	return found
}

func (r *spanReceiver) received() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.raw, "\n")
}

const (
	traceOfRead  = "0af7651916cd43dd8448eb211c80319c"
	traceOfWrite = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "b7ad6b7169203331"
)

func parentOf(id, flags string) string { return "00-" + id + "-" + callersSpan + "-" + flags }

func TestSpansOfRequestsReachACollectorAndHoldNoSecret(t *testing.T) {
	receiver := newSpanReceiver(t)
	c := newTestCluster(t, 3, "--trace-endpoint", receiver.URL+"/", "--trace-ratio", "0")
	leader := c.leader()
	other := c.nodes[0]
	if other == leader {
		other = c.nodes[1]
	}
	session := other.login()
	other.ask("PATCH", "/api/sessions/current/", session, `{"canary":"user-data-canary"}`, "Traceparent", parentOf(traceOfWrite, "01"), "Tracestate", "canary=state-canary")
	other.ask("GET", "/api/sessions/current/?canary=query-canary", session, "", "Traceparent", parentOf(traceOfRead, "01"), "Holdfast-Consistency", "strong")
	other.ask("GET", "/api/sessions/by-id/path-canary/", "Bearer "+c.service, "", "Traceparent", parentOf(traceOfRead, "01"))
	leader.ask("PATCH", "/api/sessions/current/", session, `{"n":1}`, "Traceparent", parentOf(traceOfWrite, "01"))
	// None of these is traced: the caller says no, says nothing with a ratio of 0, or talks nonsense.
	other.ask("GET", "/api/stats/", "Bearer "+c.service, "", "Traceparent", parentOf(traceOfRead, "00"))
	other.ask("GET", "/api/stats/", "Bearer "+c.service, "")
	other.ask("GET", "/api/stats/", "Bearer "+c.service, "", "Traceparent", "00-"+c.service+"-01")
	other.ask("GET", "/readyz", "", "", "Traceparent", parentOf(traceOfRead, "01"))

	for _, n := range c.nodes {
		n.end() // sends what waits
	}
	write := receiver.trace(traceOfWrite)
	request := write["PATCH /api/sessions/current/"]
	if request.ParentID != callersSpan || request.Kind != 2 || attributeOf(request.Attributes, "http.response.status_code") != "200" ||
		attributeOf(request.Attributes, "http.route") != "/api/sessions/current/" {
		t.Errorf("the request's span: %+v", request)
	}
	propose := write["propose"]
	if propose.TraceID == "" || write["queue"].ParentID == "" || write["commit"].TraceID == "" || write["forward"].TraceID == "" {
		t.Errorf("a write through a follower and one through the leader: %+v", write)
	}
	if got := attributeOf(write["forward"].Attributes, "holdfast.leader"); got != leader.args[1] {
		t.Errorf("forwarded to %q", got)
	}
	read := receiver.trace(traceOfRead)
	if barrier := read["read barrier"]; barrier.ParentID != read["GET /api/sessions/current/"].SpanID || barrier.End < barrier.Start {
		t.Errorf("a strong read: %+v", read)
	}
	if _, there := read["GET /api/sessions/by-id/:id/"]; !there {
		t.Errorf("a route is shown by its pattern: %+v", read)
	}
	all := receiver.received()
	for _, name := range []string{"/api/stats/", "/readyz"} {
		if strings.Contains(all, name) {
			t.Errorf("%s was traced", name)
		}
	}
	token := strings.TrimPrefix(session, "Session ")
	for _, secret := range []string{token, token[len(token)-20:], c.service, c.operator, "canary", "user|"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in a span", secret)
		}
	}
	if len(receiver.nodes) != 2 {
		t.Errorf("spans of %v", receiver.nodes)
	}
}

func TestACollectorThatFailsIsSaidOnceAndCostsNobodyARequest(t *testing.T) {
	receiver := newSpanReceiver(t)
	receiver.code = http.StatusServiceUnavailable
	c := newTestCluster(t, 1, "--trace-endpoint", receiver.URL, "--trace-ratio", "1")
	n := c.nodes[0]
	session := n.login()
	for range 3 {
		if got := n.ask("GET", "/api/sessions/current/", session, ""); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	for limit := time.Now().Add(20 * time.Second); ; {
		lost := n.ask("GET", "/metrics", "", "").body
		if i := strings.Index(lost, "\nholdfast_trace_spans_lost_total "); i >= 0 && !strings.HasPrefix(lost[i:], "\nholdfast_trace_spans_lost_total 0") {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("spans that were not taken are not counted")
		}
	}
	n.end()
	if said := strings.Count(n.logs.String(), "spans could not be sent"); said != 1 {
		t.Errorf("said %d times", said)
	}
}

func TestTracingFlagsAreChecked(t *testing.T) {
	for _, c := range []Config{
		{TraceRatio: -0.1},
		{TraceRatio: 1.1},
		{TraceEndpoint: "127.0.0.1:4318"},
		{TraceEndpoint: "ftp://h"},
		{TraceEndpoint: "http://user:secret@h:4318"},
		{TraceEndpoint: "http://h:4318/?a=b"},
	} {
		if err := c.validateTracing(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (Config{TraceEndpoint: "https://collector.internal:4318", TraceRatio: 0.5}).validateTracing(); err != nil {
		t.Error(err)
	}
}
