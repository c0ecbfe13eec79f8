package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// gullible is a store that believes everything: each request gets what a good one would.
func gullible(w http.ResponseWriter, r *http.Request) {
	token := strangerToken()
	session := map[string]any{
		"id": token[4:strings.IndexByte(token, '.')], "user_id": "u", "data": map[string]any{"subscription_plan": "free"},
		"device": map[string]any{"ip": "203.0.113.9"},
	}
	w.Header().Set("Holdfast-Index", "0123456789abcdef.7")
	w.Header().Set("Content-Type", jsonType)
	if strings.HasPrefix(r.URL.Path, createPath) {
		w.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "session": session, "revoked": 1, "results": []any{}})
}

// The tester is tested: beside a store that believes everything, hardly a row may be right.
func TestAStoreThatBelievesEverythingIsFoundOut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(gullible))
	t.Cleanup(server.Close)
	secrets := newSecrets()
	issuer, err := openIssuer(secrets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.close)
	a := &attack{cfg: config{short: true}, secrets: secrets, issuer: issuer, cluster: &cluster{
		service: "hfk_" + secretOf(strangerToken()), operator: "hfo_" + secretOf(strangerToken()), clusterKey: strings.Repeat("ab", 32),
	}}
	for _, id := range []string{"n1", "n2", "n3"} {
		n := &node{id: id, httpAddr: server.Listener.Addr().String()}
		n.process.Store(harness.Imagined())
		a.nodes = append(a.nodes, n)
	}
	a.cluster.nodes = a.nodes
	s, err := a.newSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]row{
		"heads": headRows(a.nodes[0]), "targets": a.targetRows(), "types": a.typeRows(s), "bodies": a.bodyRows(s),
		"misspelt": a.misspelt(s, s), "misplaced": a.misplaced(s), "protected": a.protectedRows(s), "origins": a.originRows(s),
		"keys": a.keyRows(s), "another's": a.otherUserRows(s, s),
	}
	for name, rows := range map[string]func() ([]row, error){
		"jwt":        func() ([]row, error) { return a.jwtRows(t.Context()) },
		"index":      func() ([]row, error) { return a.indexRows(t.Context()) },
		"introspect": func() ([]row, error) { return a.introspectRows(t.Context()) },
	} {
		if all[name], err = rows(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	believable := []string{ // what a good answer is right for, or what net/http itself refuses
		"to n1", "to n2", "to n3", "a write with an index beyond", "patch by service beside", "the same with the token in a header",
		"a preflight of", "connections to addresses", "a NUL",
	}
	var running sync.WaitGroup
	atOnce := make(chan struct{}, 16) // raw rows wait for a connection to end that this store keeps open
	for name, rows := range all {
		for _, r := range rows {
			if r.long || slices.ContainsFunc(believable, func(part string) bool { return strings.Contains(r.input, part) }) {
				continue
			}
			running.Go(func() {
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				if got := tryRow(t.Context(), r); got.wrong == "" {
					t.Errorf("%s: %s is right for a store that believes everything: %s", name, r.input, got.got)
				}
			})
		}
	}
	running.Wait()
}
