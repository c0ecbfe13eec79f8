package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// logoutToken signs what an identity provider sends; more changes the usual claims.
func (n *node) logoutToken(jti string, more map[string]any) string {
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "iat": n.now().Unix(), "exp": n.now().Add(2 * time.Minute).Unix(), "jti": jti,
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for name, value := range more {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"], token.Header["typ"] = "k1", "logout+jwt"
	return n.secret(must(token.SignedString(n.signer)))
}

func (n *node) tellLogout(text string) answer {
	n.t.Helper()
	return n.do("POST", "/api/backchannel-logout/", "logout_token="+url.QueryEscape(text), "Content-Type: application/x-www-form-urlencoded")
}

func TestTheIdentityProviderLogsOut(t *testing.T) {
	n := newNode(t, nil)
	login := func(sid string) string {
		return n.secret(n.do("POST", "/api/sessions/create/", "", bearer(n.jwt("alice", map[string]any{"sid": sid}))).want(201).text("token"))
	}
	one, two, three := login("s1"), login("s2"), login("s3")
	token1 := n.logoutToken("j1", map[string]any{"sid": "s1"})
	n.tellLogout(token1).want(200).wantMember("revoked", 1.0)
	n.do("GET", "/api/sessions/current/", "", token(one)).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", token(two)).want(200)
	if a := n.tellLogout(token1).wantCode(400, "invalid_request"); !strings.Contains(a.text("detail"), "used before") {
		t.Errorf("a replay is told %s", a.body)
	}
	n.tellLogout(n.logoutToken("j2", map[string]any{"sub": "alice"})).want(200).wantMember("revoked", 2.0)
	for _, dead := range []string{two, three} {
		n.do("GET", "/api/sessions/current/", "", token(dead)).wantCode(401, "session_invalid")
	}
}

func TestLogoutTokensThatAreNoneAreRefused(t *testing.T) {
	n := newNode(t, nil)
	for name, text := range map[string]string{
		"rubbish": "a.b.c", "a login": n.jwt("alice", nil), "nobody": n.logoutToken("j1", nil),
		"another audience": n.logoutToken("j1", map[string]any{"sid": "s1", "aud": "x"}),
	} {
		if a := n.tellLogout(text); a.status != 400 || a.get("code") != "invalid_request" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	for name, body := range map[string]string{"two": "logout_token=a&logout_token=b", "empty": "logout_token=", "other": "x=y", "no form": "%zz"} {
		if a := n.do("POST", "/api/backchannel-logout/", body, form); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	n.do("POST", "/api/backchannel-logout/", `{"logout_token":"x"}`).wantCode(415, "unsupported_media_type")
	n.do("POST", "/api/backchannel-logout/", "logout_token="+strings.Repeat("x", MaxBodyBytes), form).wantCode(413, "payload_too_large")
	without := newNode(t, func(c *Config) { c.Logins = nil })
	without.tellLogout("a.b.c").wantCode(404, "not_found")
}
