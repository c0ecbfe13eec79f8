package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// rightsRows are what each credential must not do.
func (a *attack) rightsRows(ctx context.Context) ([]row, error) {
	s, err := a.create(ctx, map[string]any{"user_id": "mallory", "data": map[string]any{"subscription_plan": "free", "x": 1}})
	if err != nil {
		return nil, err
	}
	other, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	rows := a.protectedRows(s)
	rows = append(rows, a.originRows(s)...)
	rows = append(rows, a.keyRows(s)...)
	rows = append(rows, a.otherUserRows(s, other)...)
	return append(rows, steps("both sessions after all of these", "200, plan still free", func(ctx context.Context) verdict {
		if err := a.lives(ctx, other); err != nil {
			return wrong("%v", err)
		}
		got := ask(ctx, strongRead(a.nodes[0], s.token))
		if got.status != http.StatusOK || got.text("session", "data", "subscription_plan") != "free" {
			return wrong("%s %.300s", got, got.body)
		}
		return right("200, free")
	})), nil
}

func (a *attack) protectedRows(s owned) []row {
	n := a.nodes[1]
	var rows []row
	for _, body := range []string{
		`{"subscription_plan":"gold"}`, `{"subscription_plan":null}`, `{"roles":["admin"]}`, `{"roles":null}`, `{"subscription_plan":{"x":1}}`,
		`{"x":2,"roles":[]}`, `{"subscription\u005fplan":"gold"}`,
	} {
		rows = append(rows, asks("patch "+body, request{node: n, method: "PATCH", path: currentPath, body: body, auth: s.auth()}, protectedKey))
	}
	login := func(input, body string) row {
		return sends(input, func(ctx context.Context) answer {
			jwt, err := a.issuer.sign(a.issuer.claims("climber"))
			if err != nil {
				return answer{err: err}
			}
			return ask(ctx, request{node: n, method: "POST", path: createPath, body: body, auth: "Bearer " + jwt})
		}, protectedKey)
	}
	return append(
		rows,
		login("create by JWT with a protected key", `{"data":{"subscription_plan":"gold"}}`),
		login("create by JWT with a protected key, escaped", `{"data":{"\u0072oles":["admin"]}}`),
		login("create by JWT that carries a protected key", `{"carry":["subscription_plan"]}`),
		asks("create by service that carries a protected key", request{
			node: n, method: "POST", path: createPath, body: `{"user_id":"climber","carry":["roles"]}`, auth: "Bearer " + a.cluster.service,
		}, protectedKey),
		asks("patch by service beside the session", request{
			node: n, method: "PATCH", path: currentPath, body: `{"roles":null}`, auth: "Bearer " + a.cluster.service, headers: []string{"Holdfast-Session", s.token},
		}, status(http.StatusOK)),
	)
}

// originRows are writes that another site has a browser send.
func (a *attack) originRows(s owned) []row {
	n := a.nodes[2]
	crossOrigin := problem(http.StatusForbidden, "cross_origin")
	cookie := []string{"Cookie", tokenCookie + "=" + s.token}
	var rows []row
	for _, from := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Origin", "http://" + n.httpAddr + ".evil.example"},
	} {
		for _, r := range []request{
			{method: "PATCH", path: currentPath, body: `{"x":3}`},
			{method: "DELETE", path: currentPath},
			{method: "POST", path: refreshPath, body: "{}"},
			{method: "POST", path: "/api/sessions/invalidate-all/", body: "{}"},
			{method: "DELETE", path: "/api/sessions/by-id/" + s.id + "/"},
		} {
			r.node, r.headers = n, append(append([]string{}, cookie...), from...)
			rows = append(rows, asks(fmt.Sprintf("%s: %s, %s %s", from[0], from[1], r.method, strings.Replace(r.path, s.id, ":id", 1)), r, crossOrigin))
		}
	}
	return append(
		rows,
		asks("the same with the token in a header", request{
			node: n, method: "PATCH", path: currentPath, body: `{"x":3}`, auth: s.auth(), headers: []string{"Sec-Fetch-Site", "cross-site"},
		}, status(http.StatusOK)),
		asks("a preflight of another origin", request{node: n, method: "OPTIONS", path: currentPath, headers: []string{
			"Origin", "https://evil.example", "Access-Control-Request-Method", "PATCH",
		}}, expectation{"no Access-Control-Allow-Origin", func(got answer) string {
			if got.err != nil || got.header.Get("Access-Control-Allow-Origin") != "" {
				return fmt.Sprintf("%s, %v", got, got.header)
			}
			return ""
		}}),
	)
}

// keyRows are calls of services and operators with less than their key.
func (a *attack) keyRows(s owned) []row {
	n := a.nodes[0]
	service := []request{
		{method: "PATCH", path: listPath + "?user_id=mallory", body: `{"x":4}`},
		{method: "GET", path: "/api/events/"},
		{method: "POST", path: "/api/introspect/", body: `{"tokens":[]}`},
		{method: "GET", path: "/api/stats/"},
	}
	operator := []request{
		{method: "GET", path: "/cluster/status"},
		{method: "POST", path: "/cluster/sweep"},
	}
	var rows []row
	for _, r := range append(append([]request{}, service...), operator...) {
		r.node = n
		r.auth = s.auth()
		rows = append(rows, asks("session token: "+r.method+" "+r.path, r, forbidden))
		r.auth = ""
		rows = append(rows, asks("nothing: "+r.method+" "+r.path, r, keyInvalid))
		r.auth = "Bearer " + withBit(a.cluster.operator)
		rows = append(rows, asks("a key with one bit changed: "+r.method+" "+r.path, r, keyInvalid))
		r.auth = "Bearer hfo_" + a.cluster.service[4:]
		rows = append(rows, asks("the service key as an operator's: "+r.method+" "+r.path, r, keyInvalid))
	}
	for _, r := range operator {
		r.node, r.auth = n, "Bearer "+a.cluster.service
		rows = append(rows, asks("service key: "+r.method+" "+r.path, r, forbidden))
	}
	for _, text := range []string{"hfk_", a.cluster.service[:20], a.cluster.service + "A", strings.ToUpper(a.cluster.service), "hfk_" + strings.Repeat("A", 43)} {
		want := keyInvalid
		if !strings.HasPrefix(text, "hfk_") {
			want = loginInvalid // it is no key at all
		}
		rows = append(rows, asks(fmt.Sprintf("a key of %d bytes, %.8s…", len(text), text), request{node: n, path: "/api/stats/", auth: "Bearer " + text}, want))
	}
	return append(
		rows,
		asks("the service key as a session token", request{node: n, path: currentPath, auth: "Session " + a.cluster.service}, sessionInvalid),
		asks("the service key in a cookie", request{node: n, path: "/api/stats/", headers: []string{"Cookie", tokenCookie + "=" + a.cluster.service}}, status(http.StatusForbidden, http.StatusUnauthorized)),
		asks("the service key in the URL", request{node: n, path: "/api/stats/?key=" + a.cluster.service}, keyInvalid),
		asks("the service key confined by Holdfast-Session, to all events", request{
			node: n, path: "/api/events/", auth: "Bearer " + a.cluster.service, headers: []string{"Holdfast-Session", s.token},
		}, forbidden),
	)
}

// withBit is a key with one bit changed.
func withBit(key string) string { return key[:4] + turned(key[4:], 20, 1) }

// otherUserRows reach for what belongs to somebody else.
func (a *attack) otherUserRows(s, other owned) []row {
	n := a.nodes[1]
	confined := []string{"Holdfast-Session", s.token}
	byID := "/api/sessions/by-id/" + other.id + "/"
	stranger := strangerToken()
	unknown := "/api/sessions/by-id/" + stranger[4:strings.IndexByte(stranger, '.')] + "/"
	var rows []row
	for _, path := range []string{byID, unknown, "/api/sessions/by-id/rubbish/", "/api/sessions/by-id/" + strings.ToUpper(s.id) + "/"} {
		input := strings.NewReplacer(other.id, "<another's>", unknown[len("/api/sessions/by-id/"):], "<unknown>/", strings.ToUpper(s.id), "<OWN>").Replace(path)
		for _, r := range []request{
			{method: "GET", path: path},
			{method: "PATCH", path: path, body: `{"label":"mine"}`},
			{method: "DELETE", path: path},
		} {
			r.node, r.auth = n, s.auth()
			rows = append(rows, asks(r.method+" "+input, r, notFound))
			r.auth, r.headers = "Bearer "+a.cluster.service, confined
			rows = append(rows, asks("confined service: "+r.method+" "+input, r, notFound))
		}
	}
	return append(
		rows,
		asks("a patch of data by id with a session token", request{
			node: n, method: "PATCH", path: "/api/sessions/by-id/" + s.id + "/", body: `{"data":{"subscription_plan":"gold"}}`, auth: s.auth(),
		}, badRequest),
		asks("list with another's user_id", request{node: n, path: listPath + "?user_id=" + other.user, auth: s.auth()}, forbidden),
		asks("list with a tenant_id", request{node: n, path: listPath + "?tenant_id=any", auth: s.auth()}, forbidden),
		asks("log out everywhere with another's user_id", request{
			node: n, method: "POST", path: "/api/sessions/invalidate-all/", body: `{"user_id":"` + other.user + `"}`, auth: s.auth(),
		}, forbidden),
		asks("confined service: log out everywhere of another", request{
			node: n, method: "POST", path: "/api/sessions/invalidate-all/", body: `{"user_id":"` + other.user + `"}`,
			auth: "Bearer " + a.cluster.service, headers: confined,
		}, forbidden),
		asks("confined service: create for another", request{
			node: n, method: "POST", path: createPath, body: `{"user_id":"` + other.user + `"}`, auth: "Bearer " + a.cluster.service, headers: confined,
		}, forbidden),
		asks("confined service: list of another", request{
			node: n, path: listPath + "?user_id=" + other.user, auth: "Bearer " + a.cluster.service, headers: confined,
		}, forbidden),
		asks("create with a session token alone", request{node: n, method: "POST", path: createPath, body: "{}", auth: s.auth()}, forbidden),
		steps("own events with another's user_id", "none of another's", func(ctx context.Context) verdict {
			got := ask(ctx, request{node: n, path: "/api/sessions/events/?user_id=" + other.user, auth: s.auth()})
			switch events, listed := got.member("events").([]any); {
			case got.err != nil || got.status == http.StatusOK && (!listed || len(events) == 0) || got.status >= 500:
				return wrong("%s %.300s", got, got.body)
			case strings.Contains(got.body, other.id):
				return wrong("another's events")
			}
			return right("%s", got)
		}),
		asks("events after rubbish", request{node: n, path: "/api/sessions/events/?after=rubbish", auth: s.auth()}, badRequest),
		asks("events after -1", request{node: n, path: "/api/events/?after=-1-0", auth: "Bearer " + a.cluster.service}, badRequest),
		asks("1,001 events", request{node: n, path: "/api/sessions/events/?limit=1001", auth: s.auth()}, badRequest),
		asks("events of an unknown type", request{node: n, path: "/api/events/?type=rubbish", auth: "Bearer " + a.cluster.service}, badRequest),
		asks("a stream from a Last-Event-ID of rubbish", request{
			node: n, path: "/api/sessions/current/events/", auth: s.auth(), headers: []string{"Last-Event-ID", "rubbish"},
		}, badRequest),
		asks("a cursor of rubbish", request{node: n, path: listPath + "?cursor=rubbish", auth: s.auth()}, badRequest),
		asks("a limit of -1", request{node: n, path: listPath + "?limit=-1", auth: s.auth()}, badRequest),
		asks("a limit beyond 64 bits", request{node: n, path: listPath + "?limit=99999999999999999999", auth: s.auth()}, badRequest),
		asks("user_id twice in the URL", request{node: n, path: listPath + "?user_id=a&user_id=b", auth: "Bearer " + a.cluster.service}, badRequest),
		steps("If-Match with an old version", "412 version_conflict", a.oldVersion),
		asks("If-Match with a weak version", request{
			node: n, method: "PATCH", path: currentPath, body: `{"x":5}`, auth: s.auth(), headers: []string{"If-Match", `W/"1"`},
		}, status(http.StatusPreconditionFailed, http.StatusBadRequest)),
		asks("If-Match of rubbish", request{
			node: n, method: "PATCH", path: currentPath, body: `{"x":5}`, auth: s.auth(), headers: []string{"If-Match", `rubbish`},
		}, status(http.StatusPreconditionFailed, http.StatusBadRequest)),
		steps("one Idempotency-Key, two bodies", "409 idempotency_conflict", a.reusedKey),
	)
}

func (a *attack) oldVersion(ctx context.Context) verdict {
	s, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	patch := request{node: a.nodes[0], method: "PATCH", path: currentPath, body: `{"a":1}`, auth: s.auth(), headers: []string{"If-Match", `"1"`}}
	if _, err := mustAsk(ctx, http.StatusOK, patch); err != nil {
		return wrong("%v", err)
	}
	patch.node = a.nodes[1]
	got := ask(ctx, patch)
	return verdict{got: got.String(), wrong: problem(http.StatusPreconditionFailed, "version_conflict").check(got)}
}

func (a *attack) reusedKey(ctx context.Context) verdict {
	s, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	patch := request{node: a.nodes[0], method: "PATCH", path: currentPath, body: `{"a":1}`, auth: s.auth(), headers: []string{"Idempotency-Key", "once"}}
	if _, err := mustAsk(ctx, http.StatusOK, patch); err != nil {
		return wrong("%v", err)
	}
	patch.node, patch.body = a.nodes[1], `{"a":2}`
	got := ask(ctx, patch)
	return verdict{got: got.String(), wrong: problem(http.StatusConflict, "idempotency_conflict").check(got)}
}
