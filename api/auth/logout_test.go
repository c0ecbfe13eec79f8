package auth

import (
	"crypto/x509"
	"maps"
	"net/http"
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
	l := openTestLogins(t, func(c *LoginConfig) { c.Issuers[0].UserPrefix = "auth0:" })
	gone := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	at := func(name string, d time.Duration) func(jwt.MapClaims) { return set(name, testNow.Add(d).Unix()) }
	for name, c := range map[string]struct {
		change func(jwt.MapClaims)
		want   string // a part of the sentence that refuses it; "" if it is accepted
	}{
		"no events":                    {gone("events"), "the claim events"},
		"events of null":               {set("events", nil), "the claim events"},
		"events of another kind":       {set("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}), "the claim events"},
		"an event that is text":        {set("events", map[string]any{logoutEvent: "yes"}), "the claim events"},
		"an event of null":             {set("events", map[string]any{logoutEvent: nil}), "the claim events"},
		"events in an array":           {set("events", []any{logoutEvent}), "the claim events"},
		"one event more":               {set("events", map[string]any{logoutEvent: map[string]any{"x": 1}, "other": 1}), ""},
		"a nonce":                      {set("nonce", "n"), "nonce"},
		"a nonce of null":              {set("nonce", nil), "nonce"},
		"no jti":                       {gone("jti"), "the claim jti"},
		"an empty jti":                 {set("jti", ""), "the claim jti"},
		"a jti of null":                {set("jti", nil), "the claim jti"},
		"a jti that is a number":       {set("jti", 1), "the claim jti"},
		"a long jti":                   {set("jti", strings.Repeat("j", 513)), "the claim jti"},
		"the longest jti":              {set("jti", strings.Repeat("j", 512)), ""},
		"no iat":                       {gone("iat"), "iat is missing"},
		"an iat that is text":          {set("iat", "now"), "iat is no number"},
		"an iat before 1970":           {set("iat", -1), "iat is no date"},
		"an iat within the leeway":     {at("iat", 30*time.Second), ""},
		"an iat of the future":         {at("iat", 31*time.Second), "in the future"},
		"the oldest iat":               {at("iat", -10*time.Minute-30*time.Second), ""},
		"an old iat":                   {at("iat", -10*time.Minute-31*time.Second), "older than 10m0s"},
		"no exp":                       {gone("exp"), ""},
		"an exp within the leeway":     {at("exp", -29*time.Second), ""},
		"an exp that is over":          {at("exp", -30*time.Second), "has expired"},
		"an exp that is text":          {set("exp", "soon"), "exp is no number"},
		"an exp beyond a login's life": {at("exp", 48*time.Hour), ""},
		"an nbf of the future":         {at("nbf", 31*time.Second), "not valid yet"},
		"another audience":             {set("aud", "https://other.example"), "audience"},
		"an audience in an object":     {set("aud", map[string]any{testAudience: 1}), "audience"},
		"no audience":                  {gone("aud"), "audience"},
		"another issuer":               {set("iss", "https://evil.example/"), "issuer"},
		"no issuer":                    {gone("iss"), "issuer"},
		"a sub alone":                  {gone("sid"), ""},
		"a sid alone":                  {gone("sub"), ""},
		"a sub that is a number":       {set("sub", 1), "the claim sub"},
		"a sub too long for a user":    {set("sub", strings.Repeat("a", session.MaxUserIDBytes)), "the claim sub"},
		"a sid that is a list":         {set("sid", []string{"s1"}), "the claim sid"},
		"a sid with a tab":             {set("sid", "a\tb"), "the claim sid"},
		"a long sid":                   {set("sid", strings.Repeat("s", session.MaxSIDBytes+1)), "the claim sid"},
		"nobody":                       {func(c jwt.MapClaims) { delete(c, "sub"); delete(c, "sid") }, "sub or sid"},
	} {
		claims := goodLogout()
		c.change(claims)
		got, err := l.VerifyLogout(t.Context(), signLogout(t, "logout+jwt", claims))
		switch {
		case c.want == "" && (err != nil || got.ID == [32]byte{}):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.want != "":
			demandRefusal(t, name, err, c.want)
			if got != (Logout{}) {
				t.Errorf("%s: refused, and yet %+v", name, got)
			}
		}
	}
}

func TestForgedLogoutTokensAreRefused(t *testing.T) {
	l := openTestLogins(t, nil)
	keys := testKeys()
	good := signLogout(t, "logout+jwt", goodLogout())
	parts := strings.Split(good, ".")
	padded := goodLogout()
	padded["pad"] = strings.Repeat("x", MaxJWTBytes)
	public, _ := x509.MarshalPKIXPublicKey(keys["rs"].Public())
	for name, c := range map[string]struct{ text, want string }{
		"a login":                  {signRS(t, goodClaims()), "the claim events"},
		"an access token":          {signLogout(t, "at+jwt", goodLogout()), "typ"},
		"a typ of another purpose": {signLogout(t, "secevent+jwt", goodLogout()), "typ"},
		"an empty typ":             {sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "typ": ""}, goodLogout(), keys["rs"]), "typ"},
		"a typ of null":            {sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "typ": nil}, goodLogout(), keys["rs"]), "typ"},
		"signed by another key":    {sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs"}, goodLogout(), keys["ps"]), "signature"},
		"another algorithm":        {sign(t, jwt.SigningMethodPS256, map[string]any{"kid": "rs"}, goodLogout(), keys["rs"]), "cannot be verified"},
		"HS256 with the key":       {sign(t, jwt.SigningMethodHS256, map[string]any{"kid": "rs"}, goodLogout(), public), "signature"},
		"alg none":                 {b64([]byte(`{"alg":"none","kid":"rs"}`)) + "." + parts[1] + ".", "signature"},
		"an empty signature":       {parts[0] + "." + parts[1] + ".", "signature"},
		"a key that is not there":  {sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "gone"}, goodLogout(), keys["rs"]), "names a key"},
		"crit":                     {sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "crit": []string{"x"}}, goodLogout(), keys["rs"]), "crit"},
		"too large":                {signLogout(t, "logout+jwt", padded), "at most 8192 are allowed"},
		"a megabyte of dots":       {strings.Repeat(".", 1<<20), "has 1048576 bytes"},
	} {
		_, err := l.VerifyLogout(t.Context(), c.text)
		demandRefusal(t, name, err, c.want)
	}
}

// demandRefusal holds each refusal to its own reason: a token that is refused for another tests nothing.
func demandRefusal(t *testing.T, name string, err error, sentence string) {
	t.Helper()
	if session.CodeOf(err) != session.CodeLoginInvalid || !strings.Contains(err.Error(), sentence) {
		t.Errorf("%s: got %v, which does not say %q", name, err, sentence)
	}
}

func TestALogoutWithoutKeysIsThisNodesTrouble(t *testing.T) {
	l := openTestLogins(t, nil)
	l.serve(func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	if _, err := l.VerifyLogout(t.Context(), signLogout(t, "", goodLogout())); session.CodeOf(err) != session.CodeStaleNode {
		t.Errorf("got %v", err)
	}
}

func TestALogoutTokenIsNoLogin(t *testing.T) {
	l := openTestLogins(t, nil)
	claims := goodLogout()
	maps.Copy(claims, goodClaims())
	for typ, want := range map[string]string{"logout+jwt": "typ", "application/logout+jwt": "typ", "JWT": "events", "": "events"} {
		_, err := l.Verify(t.Context(), signLogout(t, typ, claims))
		demandRefusal(t, "typ "+typ, err, want)
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
