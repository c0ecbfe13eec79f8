package api

import (
	"strings"
	"testing"
)

func TestPagesOfAllowedOriginsMayCall(t *testing.T) {
	n := newNode(t, func(c *Config) { c.CORSOrigins = []string{"https://app.example.com"} })
	tok, _ := n.login(`{"user_id":"u1"}`)
	const app = "Origin: https://app.example.com"

	a := n.plain("OPTIONS", "/api/sessions/current/", app, "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: content-type,if-match")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
		a.header.Get("Access-Control-Allow-Credentials") != "true" || a.header.Get("Access-Control-Allow-Methods") != "PATCH" {
		t.Errorf("a preflight is answered %d %v", a.status, a.header)
	}
	a = n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), app, "Sec-Fetch-Site: same-site").want(200)
	if got := a.header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "Etag") && !strings.Contains(got, "ETag") || !strings.Contains(a.header.Get("Vary"), "Origin") {
		t.Errorf("exposed %q, Vary %q", got, a.header.Get("Vary"))
	}

	evil := "Origin: https://evil.example"
	if a := n.plain("OPTIONS", "/api/sessions/current/", evil, "Access-Control-Request-Method: PATCH"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin's preflight is answered %d %v", a.status, a.header)
	}
	a = n.do("GET", "/api/sessions/current/", "", asCookie(tok), evil).want(200)
	if a.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(a.header.Get("Vary"), "Origin") {
		t.Errorf("another origin may read: %v", a.header)
	}
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), evil, "Sec-Fetch-Site: cross-site").wantCode(403, "cross_origin")
}

func TestNoOriginIsAllowedByDefault(t *testing.T) {
	n := newNode(t, nil)
	n.do("OPTIONS", "/api/sessions/current/", "", "Origin: https://app.example.com", "Access-Control-Request-Method: GET").wantCode(405, "method_not_allowed")
	tok, _ := n.login(`{"user_id":"u1"}`)
	if a := n.do("GET", "/api/sessions/current/", "", token(tok), "Origin: https://app.example.com").want(200); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("allowed: %v", a.header)
	}
}

func TestOnlyWholeOriginsCanBeAllowed(t *testing.T) {
	for _, bad := range []string{"*", "https://*.example.com", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://u@app.example.com", "ftp://x", "null", ""} {
		cfg := Config{NodeID: "n1", CORSOrigins: []string{bad}}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "cors-origins") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	cfg := Config{NodeID: "n1", CORSOrigins: []string{"https://app.example.com:8443", "http://localhost:3000"}}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryAnswerIsKeptOutOfFramesAndCaches(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	for _, path := range []string{"/api/sessions/current/", "/api/sessions/", "/livez", "/errors/internal", "/nothing"} {
		a := n.do("GET", path, "", token(tok))
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s: %s is %q", path, header, got)
			}
		}
	}
}

func TestBadTokensAndLoginsAreLimitedByAddressAndGoodOnesAreNot(t *testing.T) {
	n := newNode(t, func(c *Config) { c.BadTokenRate, c.CreateRate = 0.1, 0.1 })
	good, _ := n.login(`{"user_id":"u1"}`)
	jwt := n.jwt("u2", nil)
	n.do("POST", "/api/sessions/create/", "", bearer(jwt)).want(201)
	a := n.do("POST", "/api/sessions/create/", "", bearer(jwt)).wantCode(429, "rate_limited")
	if a.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	n.do("GET", "/api/sessions/current/", "", token("hfs_rubbish")).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", token("hfs_rubbish")).wantCode(429, "rate_limited")
	n.do("DELETE", "/api/sessions/current/", "", token("hfs_rubbish")).wantCode(429, "rate_limited")
	n.do("POST", "/api/sessions/create/", "", bearer("a.b.c")).wantCode(429, "rate_limited")
	n.do("GET", "/api/stats/", "", bearer("hfk_guess")).wantCode(429, "rate_limited")
	n.tellLogout("a.b.c").wantCode(429, "rate_limited")
	for range 20 {
		n.do("GET", "/api/sessions/current/", "", token(good)).want(200)
		n.do("POST", "/api/sessions/create/", `{"user_id":"u3"}`, bearer(n.service)).want(201)
		n.sessions.mu.Lock()
		clear(n.sessions.live)
		n.sessions.mu.Unlock()
		good, _ = n.login(`{"user_id":"u1"}`)
	}
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside("hfs_rubbish")).wantCode(401, "session_invalid")

	// A token that parses is doubted where the session is looked for.
	n.do("GET", "/api/sessions/current/", "", token(good)).want(200)
	if _, _, at := n.sessions.last(); at.Doubt.Ask() == nil {
		t.Error("a read of this address may still confirm what is no token")
	}
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(good)).want(200)
	if _, _, at := n.sessions.last(); at.Doubt.Ask() != nil {
		t.Error("a backend is limited")
	}
}
