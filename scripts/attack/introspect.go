package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// introspectRows are who may ask about tokens, and for how much.
func (a *attack) introspectRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	jwt, err := a.issuer.sign(a.issuer.claims("curious"))
	if err != nil {
		return nil, err
	}
	call := func(auth, body string) request {
		return request{node: a.nodes[2], method: "POST", path: "/api/introspect/", body: body, auth: auth}
	}
	service, one := "Bearer "+a.cluster.service, `{"tokens":["`+s.token+`"]}`
	confined := call(service, one)
	confined.headers = []string{"Holdfast-Session", s.token}
	rows := []row{
		asks("without a key", call("", one), keyInvalid),
		asks("with a session token", call(s.auth(), one), forbidden),
		asks("with a login JWT", call("Bearer "+jwt, one), forbidden),
		asks("with a key and Holdfast-Session", confined, forbidden),
		asks("101 tokens", call(service, `{"tokens":[`+strings.Repeat(`"x",`, 100)+`"x"]}`), badRequest),
	}
	for _, body := range []string{
		`{}`, `[]`, `{"tokens":null}`, `{"tokens":"x"}`, `{"tokens":[1]}`, `{"tokens":{}}`, `{"tokens":[],"more":1}`, `{"tokens":[],"touch":1}`,
		`{"tokens":[],"tokens":["x"]}`, `{"tokens":["\ud800"]}`,
	} {
		rows = append(rows, asks("body "+body, call(service, body), badRequest))
	}
	return append(rows, steps("garbage beside a live token", "active only for the live one", func(ctx context.Context) verdict {
		tokens := []string{
			"", "rubbish", s.token + " ", " " + s.token, s.token + "\x00", `"` + s.token + `"`, strings.ToUpper(s.token), strangerToken(),
			withSecret(s.token, secretOf(strangerToken())), a.cluster.service, jwt, s.token, strings.Repeat("x", 10_000),
		}
		body, err := json.Marshal(map[string]any{"tokens": tokens})
		if err != nil {
			return wrong("%v", err)
		}
		got := ask(ctx, call(service, string(body)))
		results, _ := got.member("results").([]any)
		if got.status != http.StatusOK || len(results) != len(tokens) {
			return wrong("%s, %d results for %d tokens", got, len(results), len(tokens))
		}
		for i, result := range results {
			members, _ := result.(map[string]any)
			if want := tokens[i] == s.token; members["active"] != want || !want && len(members) != 1 {
				return wrong("token %d of %d: %v", i, len(tokens), members)
			}
		}
		return right("one of %d is active", len(tokens))
	})), nil
}
