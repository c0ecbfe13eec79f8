package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeNode answers the calls of the load as API.md says, and complains about requests that a node would refuse.
type fakeNode struct {
	*httptest.Server
	t *testing.T
	// before, if set, may answer a request itself and then returns true.
	before func(w http.ResponseWriter, r *http.Request, number int) bool

	mu       sync.Mutex
	seen     int
	byMethod map[string]int
	bodies   []string
	users    map[string]int
	tokens   map[string]bool
}

func newFakeNode(t *testing.T, before func(w http.ResponseWriter, r *http.Request, number int) bool) *fakeNode {
	t.Helper()
	n := &fakeNode{t: t, before: before, byMethod: map[string]int{}, users: map[string]int{}, tokens: map[string]bool{}}
	n.Server = httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(n.Close)
	return n
}

func (n *fakeNode) addr() string { return strings.TrimPrefix(n.URL, "http://") }

func (n *fakeNode) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	number := n.seen
	n.seen++
	n.byMethod[r.Method]++
	n.mu.Unlock()
	if n.before != nil && n.before(w, r, number) {
		return
	}
	var body map[string]any
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			n.t.Errorf("%s %s: body: %v", r.Method, r.URL, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/sessions/create/" &&
		r.Header.Get("Authorization") == "Bearer hfk_test":
		n.users[body["user_id"].(string)]++
		token := testToken(number)
		n.tokens[token] = true
		raw, _ := json.Marshal(body)
		n.bodies = append(n.bodies, string(raw))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":%q,"session":{}}`, token)
	case r.URL.Path == "/api/sessions/current/" && strings.HasPrefix(r.Header.Get("Authorization"), "Session hfs_") &&
		(r.Method == http.MethodGet || r.Method == http.MethodPatch):
		raw, _ := json.Marshal(body)
		n.bodies = append(n.bodies, string(raw))
		fmt.Fprint(w, `{"session":{"version":1}}`)
	case r.URL.Path == "/api/sessions/current/" && r.Method == http.MethodDelete:
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Session ")
		if !n.tokens[token] {
			n.t.Errorf("a session is ended that does not live")
		}
		delete(n.tokens, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		n.t.Errorf("unexpected %s %s %q", r.Method, r.URL, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusBadRequest)
	}
}

func testToken(i int) string {
	return fmt.Sprintf("hfs_%08x-0000-7000-8000-000000000000.%043d", i, i)
}

func testTokens(t *testing.T, n int) *Tokens {
	t.Helper()
	tokens := &Tokens{}
	for i := range n {
		if err := tokens.Add(testToken(i)); err != nil {
			t.Fatal(err)
		}
	}
	return tokens
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"/errors/%[1]s","title":"t","status":%[2]d,"code":"%[1]s","detail":"why %[1]s"}`, code, status)
}

// run fails the test if the run itself fails.
func mustRun(t *testing.T, o Options) Result {
	t.Helper()
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
