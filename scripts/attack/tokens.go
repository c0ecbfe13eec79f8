package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// tokenRows are session tokens that are nearly right, in the wrong place, or somebody else's.
func (a *attack) tokenRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	other, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	rows := []row{ // they wait, beside the others
		waits("an expired token (idle_timeout 1s)", "401 session_invalid on every node", a.expired),
		waits("a revoked token", "401 session_invalid on every node", a.revoked),
	}
	rows = append(rows, a.misspelt(s, other)...)
	rows = append(rows, a.misplaced(s)...)
	return append(
		rows,
		steps("a client-chosen token of nobody at a login", "201 with another token; the sent one 401", func(ctx context.Context) verdict {
			return a.fixation(ctx, strangerToken())
		}),
		steps("an attacker's live token at a login", "201 with another token; the sent one 401", func(ctx context.Context) verdict {
			planted, err := a.newSession(ctx)
			if err != nil {
				return wrong("%v", err)
			}
			return a.fixation(ctx, planted.token)
		}),
		steps("guessed secrets for a known id, in every call", "401 (logout 204), and nothing is revoked", func(ctx context.Context) verdict {
			return a.guessed(ctx, s)
		}),
		steps("the victims after all of these", "200 on every node", func(ctx context.Context) verdict {
			for _, victim := range []owned{s, other} {
				if err := a.lives(ctx, victim); err != nil {
					return wrong("%v", err)
				}
			}
			return right("200")
		}),
	), nil
}

// misspelt are texts that are not the token, each in the header and in the cookie where both can carry it.
func (a *attack) misspelt(s, other owned) []row {
	n := a.nodes[2]
	good, secret := s.token, secretOf(s.token)
	var rows []row
	try := func(input, text string) {
		rows = append(rows,
			asks(input+" (header)", request{node: n, path: currentPath, auth: "Session " + text}, sessionInvalid),
			asks(input+" (cookie)", request{node: n, path: currentPath, headers: []string{"Cookie", tokenCookie + "=" + text}}, sessionInvalid))
	}
	try("empty", "")
	try("the prefix alone", "hfs_")
	try("8 KiB long", "hfs_"+strings.Repeat("a", 8<<10))
	try("one digit more", good+"A")
	try("one digit less", good[:len(good)-1])
	try("cut in the middle", good[:len(good)/2])
	try("without prefix", good[4:])
	try("without dot", strings.Replace(good, ".", "", 1))
	try("a colon for the dot", strings.Replace(good, ".", ":", 1))
	try("the id alone", good[:strings.IndexByte(good, '.')+1])
	try("the secret alone", "hfs_"+secret)
	try("upper-case id", "hfs_"+strings.ToUpper(s.id)+"."+secret)
	try("upper-case prefix", "HFS_"+good[4:])
	try("upper-case secret", withSecret(good, strings.ToUpper(secret)))
	try("lower-case secret", withSecret(good, strings.ToLower(secret)))
	try("base64 padding", good+"=")
	try("percent-encoded", strings.Replace(good, "_", "%5f", 1))
	try("a trailing blank, encoded", good+"%20")
	try("a trailing NUL, encoded", good+"%00")
	try("the prefix of a service key", "hfk_"+good[4:])
	try("another user's id with the own secret", withSecret(other.token, secret))
	try("the own id with another user's secret", withSecret(good, secretOf(other.token)))
	try("an id without dashes", "hfs_"+strings.ReplaceAll(s.id, "-", "")+"."+secret)
	for _, at := range []int{0, 10, 21, 41} {
		try(fmt.Sprintf("one bit of the secret changed, at digit %d", at), withSecret(good, turned(secret, at, 1)))
	}
	// The last digit carries four bits of the secret and two that mean nothing: another spelling is not the token.
	try("an unused bit of the last digit", withSecret(good, turned(secret, len(secret)-1, 1)))
	try("the other unused bit of the last digit", withSecret(good, turned(secret, len(secret)-1, 2)))
	try("one bit of the id changed", strings.Replace(good, s.id, flippedHex(s.id), 1))
	for input, text := range map[string]string{
		"quoted":                     `"` + good + `"`,
		"quoted once":                good + `"`,
		"a trailing tab and rubbish": good + "\tx",
		"twice with a comma":         good + "," + good,
	} {
		try(input, text)
	}
	return append(
		rows,
		sends("a NUL behind it (header)", func(ctx context.Context) answer {
			return raw(ctx, n, "GET "+currentPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Session "+good+"\x00\r\nConnection: close\r\n\r\n")
		}, status(http.StatusBadRequest, http.StatusUnauthorized)),
		sends("a NUL within (cookie)", func(ctx context.Context) answer {
			return raw(ctx, n, "GET "+currentPath+" HTTP/1.1\r\nHost: x\r\nCookie: "+tokenCookie+"="+good[:50]+"\x00"+good[50:]+"\r\nConnection: close\r\n\r\n")
		}, status(http.StatusBadRequest, http.StatusUnauthorized)),
		asks("two token cookies in one header", request{
			node: n, path: currentPath, headers: []string{"Cookie", tokenCookie + "=" + good + "; " + tokenCookie + "=" + other.token},
		}, badRequest),
		asks("the same token cookie twice", request{
			node: n, path: currentPath, headers: []string{"Cookie", tokenCookie + "=" + good + "; " + tokenCookie + "=" + good},
		}, badRequest),
		asks("two token cookies in two headers", request{
			node: n, path: currentPath, headers: []string{"Cookie", tokenCookie + "=" + good, "Cookie", tokenCookie + "=" + other.token},
		}, badRequest),
		asks("two Authorization headers", request{
			node: n, path: currentPath, headers: []string{"Authorization", "Session " + good, "Authorization", "Session " + other.token},
		}, badRequest),
		asks("a wrong token in the header, a good one in the cookie", request{
			node: n, path: currentPath, auth: "Session " + strangerToken(), headers: []string{"Cookie", tokenCookie + "=" + good},
		}, sessionInvalid),
	)
}

// misplaced are good tokens where no credential belongs.
func (a *attack) misplaced(s owned) []row {
	n := a.nodes[0]
	var rows []row
	for _, name := range []string{"token", "access_token", "session", "Authorization", tokenCookie} {
		rows = append(rows, asks("a token in the URL, ?"+name+"=", request{node: n, path: currentPath + "?" + name + "=" + s.token}, sessionInvalid))
	}
	return append(
		rows,
		asks("a token as a path", request{node: n, path: "/api/sessions/" + s.token + "/"}, notFound),
		asks("a token as an id, with itself", request{node: n, path: "/api/sessions/by-id/" + s.token + "/", auth: s.auth()}, notFound),
		asks("a token in the body of a refresh", request{node: n, method: "POST", path: refreshPath, body: `{"token":"` + s.token + `"}`}, sessionInvalid),
		asks("a token in the body of a patch", request{node: n, method: "PATCH", path: currentPath, body: `{"token":"` + s.token + `"}`}, sessionInvalid),
		asks("a token as a form", request{
			node: n, method: "POST", path: refreshPath, body: "token=" + s.token, headers: []string{"Content-Type", "application/x-www-form-urlencoded"},
		}, sessionInvalid),
		asks("a token as Bearer", request{node: n, path: currentPath, auth: "Bearer " + s.token}, loginInvalid),
		asks("a token as Basic", request{
			node: n, path: currentPath, auth: "Basic " + base64.StdEncoding.EncodeToString([]byte(s.token+":")),
		}, sessionInvalid),
		asks("a token without a scheme", request{node: n, path: currentPath, auth: s.token}, sessionInvalid),
		asks("a token in X-Session-Token", request{node: n, path: currentPath, headers: []string{"X-Session-Token", s.token}}, sessionInvalid),
		asks("a token in the cookie of production, __Host-holdfast", request{
			node: n, path: currentPath, headers: []string{"Cookie", "__Host-holdfast=" + s.token},
		}, sessionInvalid),
		asks("a token in a cookie named Holdfast", request{node: n, path: currentPath, headers: []string{"Cookie", "Holdfast=" + s.token}}, sessionInvalid),
	)
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// turned flips a bit of one base64url digit.
func turned(text string, at, bit int) string {
	value := strings.IndexByte(base64Digits, text[at])
	return text[:at] + string(base64Digits[value^bit]) + text[at+1:]
}

// flippedHex flips a bit of the last digit of an id.
func flippedHex(id string) string {
	const digits = "0123456789abcdef"
	last := len(id) - 1
	return id[:last] + string(digits[strings.IndexByte(digits, id[last])^1])
}

// fixation logs in with a token that the attacker knows in the cookie. The login must not adopt it.
func (a *attack) fixation(ctx context.Context, sent string) verdict {
	a.secrets.add("a client-chosen token", sent)
	jwt, err := a.issuer.sign(a.issuer.claims("fixation"))
	if err != nil {
		return wrong("%v", err)
	}
	made, err := a.created(ctx, request{
		node: a.nodes[0], method: "POST", path: createPath, body: "{}", auth: "Bearer " + jwt, headers: []string{"Cookie", tokenCookie + "=" + sent},
	})
	switch {
	case err != nil:
		return wrong("%v", err)
	case made.token == sent || strings.Contains(sent, made.id):
		return wrong("the sent token was adopted")
	}
	if err := a.dead(ctx, sent); err != nil {
		return wrong("the sent token: %v", err)
	}
	if err := a.lives(ctx, made); err != nil {
		return wrong("the new token: %v", err)
	}
	return right("a new token, the sent one 401")
}

// guessed shows wrong secrets for a live session's id to every call that takes a token.
func (a *attack) guessed(ctx context.Context, s owned) verdict {
	n := a.nodes[1]
	for _, r := range []request{
		{method: "GET", path: currentPath},
		{method: "PATCH", path: currentPath, body: `{"a":1}`},
		{method: "POST", path: refreshPath, body: "{}"},
		{method: "POST", path: refreshPath, body: `{"rotate":true}`},
		{method: "POST", path: "/api/sessions/invalidate-all/", body: "{}"},
		{method: "DELETE", path: "/api/sessions/by-id/" + s.id + "/"},
		{method: "DELETE", path: currentPath},
		{method: "GET", path: listPath},
		{method: "GET", path: "/api/sessions/events/"},
		{method: "GET", path: "/api/sessions/current/events/"},
	} {
		r.node, r.auth = n, "Session "+withSecret(s.token, secretOf(strangerToken()))
		want := sessionInvalid
		if r.method == "DELETE" && r.path == currentPath {
			want = status(http.StatusNoContent)
		}
		if fault := want.check(ask(ctx, r)); fault != "" {
			return wrong("%s %s: %s", r.method, r.path, fault)
		}
	}
	// At a login a sent token is ended: a guessed one must not be.
	jwt, err := a.issuer.sign(a.issuer.claims("guesser"))
	if err != nil {
		return wrong("%v", err)
	}
	if _, err := a.created(ctx, request{
		node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + jwt,
		headers: []string{"Cookie", tokenCookie + "=" + withSecret(s.token, secretOf(strangerToken()))},
	}); err != nil {
		return wrong("%v", err)
	}
	if err := a.lives(ctx, s); err != nil {
		return wrong("%v", err)
	}
	return right("nothing is revoked")
}

func (a *attack) expired(ctx context.Context) verdict {
	s, err := a.create(ctx, map[string]any{"user_id": "short", "idle_timeout": "1s"})
	if err == nil {
		err = harness.Pause(ctx, 2500*time.Millisecond)
	}
	if err == nil {
		err = a.dead(ctx, s.token)
	}
	if err != nil {
		return wrong("%v", err)
	}
	return right("401")
}

func (a *attack) revoked(ctx context.Context) verdict {
	s, err := a.newSession(ctx)
	if err == nil {
		_, err = mustAsk(ctx, http.StatusNoContent, request{node: a.nodes[1], method: "DELETE", path: currentPath, auth: s.auth()})
	}
	if err == nil {
		err = a.dead(ctx, s.token)
	}
	if err != nil {
		return wrong("%v", err)
	}
	return right("401")
}

// eventTypes are the types of a user's events, by how often each happened.
func (a *attack) eventTypes(ctx context.Context, user string) (map[string]int, error) {
	got, err := mustAsk(ctx, http.StatusOK, request{
		node: a.cluster.live()[0], path: "/api/events/?limit=1000&consistency=strong&user_id=" + user, auth: "Bearer " + a.cluster.service,
	})
	if err != nil {
		return nil, err
	}
	var page struct {
		Events []struct {
			Type string `json:"type"`
		} `json:"events"`
	}
	if err := json.Unmarshal([]byte(got.body), &page); err != nil {
		return nil, err
	}
	types := make(map[string]int)
	for _, event := range page.Events {
		types[event.Type]++
	}
	return types, nil
}
