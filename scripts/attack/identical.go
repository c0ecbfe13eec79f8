package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// mayDiffer are the headers that say nothing of the token.
var mayDiffer = []string{"Date", "Holdfast-Request-Id", "Holdfast-Index", "Holdfast-Node"}

// identicalRows compare the answers to tokens that are bad for different reasons. A guesser must not learn which.
func (a *attack) identicalRows(ctx context.Context) ([]row, error) {
	bad, err := a.badTokens(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range []request{
		{method: "GET", path: currentPath},
		{method: "HEAD", path: currentPath},
		{method: "PATCH", path: currentPath, body: `{"a":1}`},
		{method: "POST", path: refreshPath, body: "{}"},
		{method: "POST", path: refreshPath, body: `{"rotate":true}`},
		{method: "GET", path: listPath},
		{method: "POST", path: "/api/sessions/invalidate-all/", body: "{}"},
		{method: "GET", path: "/api/sessions/events/"},
		{method: "GET", path: "/api/sessions/current/events/"},
		{method: "GET", path: "/api/sessions/by-id/" + bad[0].id + "/"},
	} {
		r.path = strings.TrimSuffix(r.path, "/") + "/"
		input := fmt.Sprintf("%s %s %s", r.method, strings.Replace(r.path, bad[0].id, ":id", 1), r.body)
		rows = append(rows, steps(strings.TrimSpace(input), "the same 401 for all of them, on every node", func(ctx context.Context) verdict {
			return a.compare(ctx, bad, r)
		}))
	}
	return rows, nil
}

// A badToken is a token and why it is bad.
type badToken struct{ why, token, id string }

func (a *attack) badTokens(ctx context.Context) ([]badToken, error) {
	revoked, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := mustAsk(ctx, http.StatusNoContent, request{node: a.nodes[0], method: "DELETE", path: currentPath, auth: revoked.auth()}); err != nil {
		return nil, err
	}
	expired, err := a.create(ctx, map[string]any{"user_id": "brief", "idle_timeout": "1s"})
	if err != nil {
		return nil, err
	}
	live, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	if err := harness.Pause(ctx, 2500*time.Millisecond); err != nil {
		return nil, err
	}
	return []badToken{
		{"missing", "", live.id},
		{"unknown", strangerToken(), ""},
		{"wrong", withSecret(live.token, secretOf(strangerToken())), ""},
		{"malformed", "rubbish", ""},
		{"expired", expired.token, ""},
		{"revoked", revoked.token, ""},
	}, nil
}

// compare sends one request with each token to each node, by header and by cookie.
func (a *attack) compare(ctx context.Context, bad []badToken, r request) verdict {
	first, whose := "", ""
	for _, n := range a.nodes {
		for _, token := range bad {
			for _, carrier := range []string{"header", "cookie"} {
				r.node, r.auth, r.headers = n, "", nil
				switch {
				case token.token == "":
				case carrier == "header":
					r.auth = "Session " + token.token
				default:
					r.headers = []string{"Cookie", tokenCookie + "=" + token.token}
				}
				got := ask(ctx, r)
				if got.err != nil || got.status != http.StatusUnauthorized {
					return wrong("%s in a %s: %s", token.why, carrier, got)
				}
				name := fmt.Sprintf("%s in a %s, from %s", token.why, carrier, n.id)
				switch seen := fingerprint(got); {
				case first == "":
					first, whose = seen, name
				case seen != first:
					return wrong("%s: %q, but %s: %q", name, seen, whose, first)
				}
			}
		}
	}
	return right("401, identical")
}

// fingerprint is all of an answer that a guesser may compare.
func fingerprint(a answer) string {
	lines := []string{fmt.Sprint(a.status), a.body}
	for name, values := range a.header {
		if !slices.Contains(mayDiffer, name) {
			lines = append(lines, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
