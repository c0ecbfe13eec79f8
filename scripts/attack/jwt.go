package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	cooldown = 10 * time.Second // between two fetches of one key set by one node
	kidFlood = 1000
)

// jwtRows are forged login JWTs, and key sets that misbehave (RFC 8725).
func (a *attack) jwtRows(ctx context.Context) ([]row, error) {
	forgeries, err := a.issuer.forgeries()
	if err != nil {
		return nil, err
	}
	// Every node has the keys, so that no refusal is for want of them; and the forger's own good token is good.
	for _, n := range a.nodes {
		good, err := a.issuer.sign(a.issuer.claims("honest"))
		if err != nil {
			return nil, err
		}
		if _, err := a.created(ctx, request{node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + good}); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, f := range forgeries {
		rows = append(rows, steps(f.input, "401 login_invalid, create and list", func(ctx context.Context) verdict {
			return a.refusesLogin(ctx, f.text)
		}))
	}
	return append(
		rows,
		sends("a megabyte of dots", func(ctx context.Context) answer {
			return raw(ctx, a.nodes[0], "POST "+createPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+strings.Repeat(".", 1<<20)+"\r\n\r\n")
		}, problem(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large").hangsUp()),
		steps("a login JWT in the URL and in the body", "401 login_invalid, 400", a.misplacedLogin),
		steps("a login JWT with another's user_id, tenant_id, auth", "403 forbidden", a.overreachingLogin),
		steps("a login JWT from before a log out everywhere", "401 login_invalid on every node", a.loggedOutLogin),
		steps("a thousand unknown kids", "401, one fetch a cool-down at most", func(ctx context.Context) verdict {
			return a.unknownKids(ctx, 0)
		}),
		row{
			input: "a thousand unknown kids, once the cool-down is over", want: "401, one fetch", long: true, alone: true,
			try: func(ctx context.Context) verdict {
				if err := harness.Pause(ctx, cooldown+time.Second); err != nil {
					return wrong("%v", err)
				}
				return a.unknownKids(ctx, 1)
			},
		},
		row{
			input: "a key set that is huge, slow, or redirected elsewhere", want: "known keys go on working, trap untouched",
			long: true, alone: true, try: a.badKeySets,
		},
		row{input: "a key set that is gone, broken or empty", want: "known keys go on working", long: true, alone: true, try: a.goneKeySets},
		steps("connections to addresses that tokens name", "0", func(context.Context) verdict {
			if caught := a.issuer.trap.caught.Load(); caught > 0 {
				return wrong("%d", caught)
			}
			return right("0")
		}),
	), nil
}

func (a *attack) refusesLogin(ctx context.Context, text string) verdict {
	for _, r := range []request{
		{node: a.nodes[0], method: "POST", path: createPath, body: "{}"},
		{node: a.nodes[1], method: "GET", path: listPath},
	} {
		r.auth = "Bearer " + text
		if fault := loginInvalid.check(ask(ctx, r)); fault != "" {
			return wrong("%s %s: %s", r.method, r.path, fault)
		}
	}
	return right("401 login_invalid, twice")
}

func (a *attack) misplacedLogin(ctx context.Context) verdict {
	text, err := a.issuer.sign(a.issuer.claims("misplaced"))
	if err != nil {
		return wrong("%v", err)
	}
	n := a.nodes[0]
	for _, try := range []struct {
		request
		want expectation
	}{
		{request{node: n, method: "POST", path: createPath + "?access_token=" + text, body: "{}"}, loginInvalid},
		{request{node: n, method: "POST", path: createPath, body: "{}", auth: "JWT " + text}, loginInvalid},
		{request{node: n, method: "POST", path: createPath, body: "{}", auth: "Session " + text}, status(http.StatusUnauthorized, http.StatusForbidden)},
		{request{node: n, method: "POST", path: createPath, body: `{"token":"` + text + `"}`, auth: "Bearer " + a.cluster.service}, badRequest},
		{request{node: n, method: "POST", path: createPath, body: "{}", headers: []string{"Cookie", tokenCookie + "=" + text}}, status(http.StatusUnauthorized, http.StatusForbidden)},
		{request{node: n, path: currentPath, auth: "Bearer " + text}, forbidden},
	} {
		if fault := try.want.check(ask(ctx, try.request)); fault != "" {
			return wrong("%s: %s", strings.ReplaceAll(try.path, text, "<jwt>"), fault)
		}
	}
	return right("refused everywhere")
}

func (a *attack) overreachingLogin(ctx context.Context) verdict {
	text, err := a.issuer.sign(a.issuer.claims("overreach"))
	if err != nil {
		return wrong("%v", err)
	}
	for _, body := range []string{
		`{"user_id":"admin"}`, `{"tenant_id":"other"}`, `{"auth":{"method":"mfa"}}`, `{"idle_timeout":"2h"}`, `{"absolute_timeout":"48h"}`,
	} {
		got := ask(ctx, request{node: a.nodes[0], method: "POST", path: createPath, body: body, auth: "Bearer " + text})
		if fault := forbidden.check(got); fault != "" {
			return wrong("%s: %s", body, fault)
		}
	}
	for _, path := range []string{listPath + "?user_id=admin", listPath + "?tenant_id=other"} {
		if fault := forbidden.check(ask(ctx, request{node: a.nodes[0], path: path, auth: "Bearer " + text})); fault != "" {
			return wrong("%s: %s", path, fault)
		}
	}
	return right("403 forbidden")
}

func (a *attack) loggedOutLogin(ctx context.Context) verdict {
	text, err := a.issuer.sign(a.issuer.claims("leaver"))
	if err != nil {
		return wrong("%v", err)
	}
	bearer := "Bearer " + text
	out := ask(ctx, request{node: a.nodes[0], method: "POST", path: "/api/sessions/invalidate-all/", body: "{}", auth: bearer})
	if out.status != http.StatusOK {
		return wrong("log out everywhere: %s", out)
	}
	for _, n := range a.nodes {
		for _, r := range []request{
			{node: n, method: "POST", path: createPath, body: "{}", auth: bearer},
			{node: n, path: listPath, auth: bearer, headers: []string{"Holdfast-Consistency", "strong"}},
			{node: n, method: "POST", path: "/api/sessions/invalidate-all/", body: "{}", auth: bearer},
		} {
			if fault := loginInvalid.check(ask(ctx, r)); fault != "" {
				return wrong("%s %s on %s: %s", r.method, r.path, n.id, fault)
			}
		}
	}
	return right("401 login_invalid")
}

// unknownKids asks one node for a thousand keys that the issuer does not have. It must look for them at least so often,
// or the row shows nothing, and once a cool-down at most.
func (a *attack) unknownKids(ctx context.Context, atLeast int64) verdict {
	before, began := a.issuer.fetches.Load(), time.Now()
	for range kidFlood {
		// The signature does not matter: the key is looked for first.
		text := part(map[string]any{"alg": "RS256", "kid": rand.Text()}) + "." + part(a.issuer.claims("flood")) + "." + b64(make([]byte, 256))
		got := ask(ctx, request{node: a.nodes[0], method: "POST", path: createPath, body: "{}", auth: "Bearer " + text})
		if fault := loginInvalid.check(got); fault != "" {
			return wrong("%s", fault)
		}
	}
	made, took := a.issuer.fetches.Load()-before, time.Since(began)
	if allowed := int64(took/cooldown) + 1; made < atLeast || made > allowed {
		return wrong("%d fetches in %v, not %d to %d", made, took.Round(time.Millisecond), atLeast, allowed)
	}
	return right("%d fetches in %v", made, took.Round(time.Millisecond))
}

// badKeySets makes the key set of each node misbehave in another way, and every node fetch it.
func (a *attack) badKeySets(ctx context.Context) verdict {
	return a.misbehaving(ctx, map[string]http.HandlerFunc{
		"n1": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			filler := strings.Repeat(" ", 64<<10)
			for range 512 { // 32 MiB, unless the node has enough
				if _, err := fmt.Fprint(w, filler); err != nil {
					return
				}
			}
		},
		"n2": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		},
		"n3": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, a.issuer.trap.url()+"/keys", http.StatusFound)
		},
	})
}

func (a *attack) goneKeySets(ctx context.Context) verdict {
	return a.misbehaving(ctx, map[string]http.HandlerFunc{
		"n1": http.NotFound,
		"n2": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"RSA","n":"`) },
		"n3": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
	})
}

// misbehaving has each node fetch a bad key set, by a kid that nobody has, and log somebody in by a key that it knows.
func (a *attack) misbehaving(ctx context.Context, how map[string]http.HandlerFunc) verdict {
	if err := harness.Pause(ctx, cooldown+time.Second); err != nil {
		return wrong("%v", err)
	}
	before, caught := a.issuer.fetches.Load(), a.issuer.trap.caught.Load()
	for id, handler := range how {
		a.issuer.set(id, handler)
		defer a.issuer.set(id, nil)
	}
	unknown := part(map[string]any{"alg": "RS256", "kid": "nobody"}) + "." + part(a.issuer.claims("x")) + "." + b64(make([]byte, 256))
	for _, n := range a.nodes {
		got := ask(ctx, request{node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + unknown})
		if got.status != http.StatusUnauthorized && got.status != http.StatusServiceUnavailable {
			return wrong("%s, an unknown kid: %s", n.id, got)
		}
		good, err := a.issuer.sign(a.issuer.claims("known"))
		if err != nil {
			return wrong("%v", err)
		}
		if _, err := a.created(ctx, request{node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + good}); err != nil {
			return wrong("a known key: %v", err)
		}
	}
	switch fetched := a.issuer.fetches.Load() - before; {
	case fetched < int64(len(how)):
		return wrong("only %d fetches: the bad sets were not read", fetched)
	case a.issuer.trap.caught.Load() > caught:
		return wrong("the redirect was followed")
	}
	return right("known keys work on all three")
}
