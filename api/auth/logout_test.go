package auth

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfastdb/holdfast/session"
)

func goodLogout() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": testIssuer, "aud": []any{"other", testAudience}, "sub": "auth0|123", "sid": "s1", "jti": "j1",
		"iat": testNow.Add(-time.Minute).Unix(), "exp": testNow.Add(2 * time.Minute).Unix(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
}

func signLogout(t *testing.T, typ string, claims jwt.MapClaims) string {
	t.Helper()
	header := map[string]any{"kid": "rs"}
	if typ != "" {
		header["typ"] = typ
	}
	return sign(t, jwt.SigningMethodRS256, header, claims, testKeys()["rs"])
}

func TestALogoutTokenSaysWhichLoginIsOver(t *testing.T) {
	l := openTestLogins(t, func(c *LoginConfig) { c.Issuers[0].UserPrefix = "auth0:" })
	for name, typ := range map[string]string{"its own type": "logout+jwt", "with its prefix": "application/LOGOUT+JWT", "plain": "JWT", "none": ""} {
		got, err := l.VerifyLogout(t.Context(), signLogout(t, typ, goodLogout()))
		want := Logout{Issuer: testIssuer, Subject: "auth0|123", SID: "s1", UserID: "auth0:auth0|123", ID: logoutID(testIssuer, "j1")}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	only := goodLogout()
	delete(only, "sub")
	delete(only, "exp")
	if got, err := l.VerifyLogout(t.Context(), signLogout(t, "logout+jwt", only)); err != nil || got.Subject != "" || got.UserID != "" || got.SID != "s1" {
		t.Errorf("without a subject: %+v, %v", got, err)
	}
	if logoutID("a", "bc") == logoutID("ab", "c") {
		t.Error("two tokens have one id")
	}
}

func TestLogoutTokensAreChecked(t *testing.T) {
	l := openTestLogins(t, nil)
	gone := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	for name, change := range map[string]func(jwt.MapClaims){
		"no events":              gone("events"),
		"events of another kind": set("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}),
		"an event that is text":  set("events", map[string]any{logoutEvent: "yes"}),
		"events in an array":     set("events", []any{logoutEvent}),
		"a nonce":                set("nonce", "n"),
		"a nonce of null":        set("nonce", nil),
		"no jti":                 gone("jti"),
		"an empty jti":           set("jti", ""),
		"a jti that is a number": set("jti", 1),
		"a long jti":             set("jti", strings.Repeat("j", maxJTIBytes+1)),
		"no iat":                 gone("iat"),
		"an iat of the future":   set("iat", testNow.Add(time.Hour).Unix()),
		"an old iat":             set("iat", testNow.Add(-11*time.Minute).Unix()),
		"over":                   set("exp", testNow.Add(-time.Minute).Unix()),
		"an exp that is text":    set("exp", "soon"),
		"another audience":       set("aud", "https://other.example"),
		"no audience":            gone("aud"),
		"another issuer":         set("iss", "https://evil.example/"),
		"a sub that is a number": set("sub", 1),
		"a sid with a tab":       set("sid", "a\tb"),
		"nobody":                 func(c jwt.MapClaims) { delete(c, "sub"); delete(c, "sid") },
	} {
		claims := goodLogout()
		change(claims)
		if got, err := l.VerifyLogout(t.Context(), signLogout(t, "logout+jwt", claims)); session.CodeOf(err) != session.CodeLoginInvalid || got != (Logout{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"a login":                  signRS(t, goodClaims()),
		"an access token":          signLogout(t, "at+jwt", goodLogout()),
		"signed by another key":    sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs"}, goodLogout(), testKeys()["ps"]),
		"an algorithm of no key":   sign(t, jwt.SigningMethodPS256, map[string]any{"kid": "rs"}, goodLogout(), testKeys()["rs"]),
		"extensions that are none": sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "crit": []string{"x"}}, goodLogout(), testKeys()["rs"]),
		"too large":                strings.Repeat("a", MaxJWTBytes+1),
		"a megabyte of dots":       strings.Repeat(".", 1<<20),
	} {
		if _, err := l.VerifyLogout(t.Context(), text); session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALogoutTokenIsNoLogin(t *testing.T) {
	l := openTestLogins(t, nil)
	claims := goodLogout()
	maps.Copy(claims, goodClaims())
	for _, typ := range []string{"logout+jwt", "JWT", ""} {
		if _, err := l.Verify(t.Context(), signLogout(t, typ, claims)); session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("typ %q: %v", typ, err)
		}
	}
}

func TestClocksMayDifferByAMinuteAtMost(t *testing.T) {
	if err := (LoginConfig{Leeway: 61 * time.Second}).Validate(); err == nil || !strings.Contains(err.Error(), "leeway") {
		t.Error(err)
	}
	if err := (LoginConfig{Leeway: time.Minute}).Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzVerifyLogout(f *testing.F) {
	logins, err := OpenLogins(LoginConfig{})
	if err != nil {
		f.Fatal(err)
	}
	defer logins.Close()
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"RS256","typ":"logout+jwt"}`)) + "." + b64([]byte(`{"iss":"x","events":{}}`)) + "." + b64([]byte("sig")))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := logins.VerifyLogout(t.Context(), text); session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("%q: %v", text, err)
		}
	})
}
