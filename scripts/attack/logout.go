package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	logoutPath  = "/api/backchannel-logout/"
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	formType    = "application/x-www-form-urlencoded"
)

// logoutClaims are those of a good logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
func (i *issuer) logoutClaims(subject string) map[string]any {
	return map[string]any{
		"iss": i.name(), "aud": audience, "sub": subject, "iat": time.Now().Unix(), "exp": time.Now().Unix() + 120,
		"jti": rand.Text(), "events": map[string]any{logoutEvent: map[string]any{}},
	}
}

func (i *issuer) signLogout(claims map[string]any) (string, error) {
	return i.signed(map[string]any{"alg": "ES256", "kid": "es", "typ": "logout+jwt"}, claims, "ES256", i.ecdsa)
}

func logoutForm(n *node, text string) request {
	return request{
		node: n, method: "POST", path: logoutPath, body: url.Values{"logout_token": {text}}.Encode(),
		headers: []string{"Content-Type", formType},
	}
}

// logoutRows are logout tokens that must end nothing, and that a good one ends what it says, once.
func (a *attack) logoutRows(ctx context.Context) ([]row, error) {
	victim, err := a.login(ctx, a.issuer.claims("victim"))
	if err != nil {
		return nil, err
	}
	good := a.issuer.logoutClaims("victim")
	var rows []row
	bad := func(input, text string) { rows = append(rows, asks(input, logoutForm(a.nodes[0], text), badRequest)) }
	now := time.Now().Unix()
	for _, c := range []struct {
		input   string
		changes map[string]any
	}{
		{"no events: a login JWT", map[string]any{"events": nil}},
		{"events without the member", map[string]any{"events": map[string]any{"other": map[string]any{}}}},
		{"events as text", map[string]any{"events": logoutEvent}},
		{"the event as text", map[string]any{"events": map[string]any{logoutEvent: "x"}}},
		{"a nonce", map[string]any{"nonce": "x"}},
		{"no jti", map[string]any{"jti": nil}},
		{"an empty jti", map[string]any{"jti": ""}},
		{"neither sub nor sid", map[string]any{"sub": nil}},
		{"sub as a number", map[string]any{"sub": 1}},
		{"another audience", map[string]any{"aud": "other"}},
		{"no audience", map[string]any{"aud": nil}},
		{"another issuer", map[string]any{"iss": "https://evil.example/"}},
		{"no iat", map[string]any{"iat": nil}},
		{"an iat of an hour ago", map[string]any{"iat": now - 3600}},
		{"an iat in the future", map[string]any{"iat": now + 3600}},
		{"expired", map[string]any{"exp": now - 3600}},
	} {
		text, err := a.issuer.signLogout(with(good, c.changes))
		if err != nil {
			return nil, err
		}
		bad(c.input, text)
	}
	signed, err := a.issuer.signLogout(good)
	if err != nil {
		return nil, err
	}
	typed, err := a.issuer.signed(map[string]any{"alg": "ES256", "kid": "es", "typ": "at+jwt"}, good, "ES256", a.issuer.ecdsa)
	if err != nil {
		return nil, err
	}
	bad("typ at+jwt", typed)
	bad("alg none", part(map[string]any{"alg": "none", "typ": "logout+jwt"})+"."+part(good)+".")
	bad("a stripped signature", signed[:strings.LastIndexByte(signed, '.')+1])
	bad("one bit of the signature changed", signed[:len(signed)-20]+turned(signed[len(signed)-20:], 0, 1))
	bad("rubbish", "rubbish")
	bad("nothing", "")
	n := a.nodes[0]
	return append(
		rows,
		asks("two logout tokens", request{
			node: n, method: "POST", path: logoutPath, body: "logout_token=" + signed + "&logout_token=" + signed, headers: []string{"Content-Type", formType},
		}, badRequest),
		asks("as JSON", request{node: n, method: "POST", path: logoutPath, body: `{"logout_token":"` + signed + `"}`},
			problem(http.StatusUnsupportedMediaType, "unsupported_media_type")),
		asks("in the URL", request{
			node: n, method: "POST", path: logoutPath + "?logout_token=" + signed, body: "x=y", headers: []string{"Content-Type", formType},
		}, badRequest),
		asks("by GET", request{node: n, path: logoutPath + "?logout_token=" + signed}, problem(http.StatusMethodNotAllowed, "method_not_allowed")),
		asks("as a login JWT", request{node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + signed}, loginInvalid),
		steps("the victim after all of these", "200 on every node", func(ctx context.Context) verdict {
			if err := a.lives(ctx, victim); err != nil {
				return wrong("%v", err)
			}
			return right("200")
		}),
		steps("a good one for (issuer, sub)", "200, the session 401 on every node", func(ctx context.Context) verdict {
			if got := ask(ctx, logoutForm(n, signed)); got.status != http.StatusOK || got.member("revoked") != 1.0 {
				return wrong("%s %.200s", got, got.body)
			}
			if err := a.dead(ctx, victim.token); err != nil {
				return wrong("%v", err)
			}
			return right("200, 401")
		}),
		steps("the same one again, through every node", "400, and the user's new session lives", a.replayedLogout(signed)),
		steps("a good one for (issuer, sid)", "that login ends, the other lives", a.logoutBySID),
	), nil
}

// replayedLogout repeats a logout token that was used, which must not end a session that was made since.
func (a *attack) replayedLogout(used string) func(context.Context) verdict {
	return func(ctx context.Context) verdict {
		if err := harness.Pause(ctx, 1100*time.Millisecond); err != nil { // a login of the same second as the logout is refused
			return wrong("%v", err)
		}
		again, err := a.login(ctx, a.issuer.claims("victim"))
		if err != nil {
			return wrong("%v", err)
		}
		for _, n := range a.nodes {
			if fault := badRequest.check(ask(ctx, logoutForm(n, used))); fault != "" {
				return wrong("%s: %s", n.id, fault)
			}
		}
		if err := a.lives(ctx, again); err != nil {
			return wrong("%v", err)
		}
		return right("400, 200")
	}
}

func (a *attack) logoutBySID(ctx context.Context) verdict {
	var logins [2]owned
	for i := range logins {
		var err error
		if logins[i], err = a.login(ctx, with(a.issuer.claims("two logins"), map[string]any{"sid": fmt.Sprint("sid-", i)})); err != nil {
			return wrong("%v", err)
		}
	}
	text, err := a.issuer.signLogout(with(a.issuer.logoutClaims(""), map[string]any{"sub": nil, "sid": "sid-0"}))
	if err != nil {
		return wrong("%v", err)
	}
	if got := ask(ctx, logoutForm(a.nodes[1], text)); got.status != http.StatusOK {
		return wrong("%s %.200s", got, got.body)
	}
	if err := a.dead(ctx, logins[0].token); err != nil {
		return wrong("the login: %v", err)
	}
	if err := a.lives(ctx, logins[1]); err != nil {
		return wrong("the other login: %v", err)
	}
	return right("401, 200")
}
