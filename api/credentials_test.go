package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfastdb/holdfast/session"
)

func TestNoTokenWithOneBitChangedIsTaken(t *testing.T) {
	n := newNode(t, nil)
	good, _ := n.login(`{"user_id":"u1"}`)
	for i := range len(good) {
		for bit := range 8 {
			changed := []byte(good)
			changed[i] ^= 1 << bit
			if changed[i] < ' ' || changed[i] == 0x7f {
				continue // never reaches a handler
			}
			for _, header := range []string{token(string(changed)), asCookie(string(changed))} {
				n.do("GET", "/api/sessions/current/", "", header).wantCode(401, "session_invalid")
			}
		}
	}
	for _, text := range []string{good + "A", good + "=", good + "." + good, good[4:], "hfs_" + good, "hfk_" + good[4:], good[:len(good)-1]} {
		n.do("GET", "/api/sessions/current/", "", token(text)).wantCode(401, "session_invalid")
	}
	n.do("GET", "/api/sessions/current/", "", token(good)).want(200)
	if a := n.raw("GET /api/sessions/current/ HTTP/1.1\r\nHost: x\r\n" + token(good+"\x00") + "\r\n\r\n"); len(a) != 1 || a[0].status != 400 {
		t.Errorf("with a NUL: %+v", a)
	}
}

func TestForgedLoginsAreRefused(t *testing.T) {
	n := newNode(t, nil)
	var lured atomic.Int64
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { lured.Add(1) }))
	defer lure.Close()
	attacker := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := must(x509.MarshalPKIXPublicKey(&n.signer.PublicKey))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	good := n.jwt("u1", nil)
	parts := strings.Split(good, ".")
	part := func(value any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(value))) }
	forged := func(method jwt.SigningMethod, key any, header map[string]any) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "u1", "iat": n.now().Unix(), "exp": n.now().Add(time.Hour).Unix()})
		token.Header["kid"] = "k1"
		for name, value := range header {
			token.Header[name] = value
		}
		return must(token.SignedString(key))
	}
	for name, text := range map[string]string{
		"alg none":               part(map[string]string{"alg": "none", "kid": "k1"}) + "." + parts[1] + ".",
		"alg nOnE":               part(map[string]string{"alg": "nOnE", "kid": "k1"}) + "." + parts[1] + "." + parts[2],
		"HS256, the public key":  forged(jwt.SigningMethodHS256, asPEM, nil),
		"HS256, the same as DER": forged(jwt.SigningMethodHS256, public, nil),
		"another's key":          forged(jwt.SigningMethodES256, attacker, nil),
		"embedded jwk":           forged(jwt.SigningMethodES256, attacker, map[string]any{"jwk": map[string]string{"kty": "EC", "crv": "P-256"}}),
		"jku":                    forged(jwt.SigningMethodES256, attacker, map[string]any{"jku": lure.URL, "kid": "k2"}),
		"x5u":                    forged(jwt.SigningMethodES256, attacker, map[string]any{"x5u": lure.URL, "kid": "k2"}),
		"kid a path":             forged(jwt.SigningMethodES256, n.signer, map[string]any{"kid": "../../../dev/null"}),
		"kid a URL":              forged(jwt.SigningMethodES256, n.signer, map[string]any{"kid": lure.URL}),
		"kid an object":          forged(jwt.SigningMethodES256, n.signer, map[string]any{"kid": map[string]any{"a": 1}}),
		"unknown crit":           forged(jwt.SigningMethodES256, n.signer, map[string]any{"crit": []string{"b64"}, "b64": false}),
		"no signature":           parts[0] + "." + parts[1] + ".",
		"stripped":               parts[0] + "." + parts[1],
		"quoted":                 `"` + good + `"`,
		"dots":                   strings.Repeat(".", 10000),
		"other audience":         n.jwt("u1", map[string]any{"aud": "https://other.example.com"}),
		"no expiry":              n.jwt("u1", map[string]any{"exp": nil}),
		"expired":                n.jwt("u1", map[string]any{"exp": n.now().Add(-time.Minute).Unix()}),
		"not yet":                n.jwt("u1", map[string]any{"nbf": n.now().Add(time.Minute).Unix()}),
		"too long a life":        n.jwt("u1", map[string]any{"exp": n.now().Add(48 * time.Hour).Unix()}),
	} {
		a := n.do("POST", "/api/sessions/create/", "{}", bearer(text))
		a.t = t
		if a.wantCode(401, "login_invalid"); !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") || len(a.text("detail")) < 10 {
			t.Errorf("%s: %v %s", name, a.header, a.body)
		}
		n.do("GET", "/api/sessions/", "", bearer(text)).wantCode(401, "login_invalid")
		n.do("POST", "/api/sessions/invalidate-all/", "", bearer(text)).wantCode(401, "login_invalid")
	}
	n.do("POST", "/api/sessions/create/", "{}", bearer(strings.Repeat(".", 14<<10))).wantCode(401, "login_invalid")
	if a := n.raw("GET /api/sessions/ HTTP/1.1\r\nHost: x\r\n" + bearer(strings.Repeat(".", 1<<20)) + "\r\n\r\n"); len(a) != 1 || a[0].status != 431 {
		t.Errorf("a megabyte of dots got %+v", a)
	}
	if lured.Load() != 0 {
		t.Error("a token chose where its key comes from")
	}
	n.do("GET", "/api/sessions/", "", bearer(good)).want(200)
}

func TestATrustedProxyNamesTheClient(t *testing.T) {
	n := newNode(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	tok, _ := n.login(`{"user_id":"u1"}`)
	for header, want := range map[string]string{
		"X-Forwarded-For: 6.6.6.6, 198.51.100.9":                                "198.51.100.9",
		"Forwarded: for=\"[2001:db8::7]:80\"":                                   "2001:db8::7",
		"X-Real-IP: 198.51.100.9":                                               "127.0.0.1",
		"X-Forwarded-For: \x1b[31m, nonsense":                                   "127.0.0.1",
		"X-Forwarded-For: " + strings.Repeat("127.0.0.2, ", 1000) + "127.0.0.3": "127.0.0.2",
	} {
		n.raw("GET /api/sessions/current/ HTTP/1.1\r\nHost: x\r\n" + closing + token(tok) + "\r\n" + strings.ReplaceAll(header, "\x1b", "") + "\r\n\r\n")
		if client, _, _ := n.sessions.last(); client.IP != want {
			t.Errorf("%s: the client is %s", header, client.IP)
		}
	}
}

// waiting is a Sessions that no node is fresh enough for.
type waiting struct{ *memory }

func (waiting) Get(ctx context.Context, _ session.Token, _ session.Client, _ bool, _ session.Consistency) (session.View, error) {
	<-ctx.Done()
	return session.View{}, ctx.Err()
}

func (waiting) Patch(ctx context.Context, _ session.Patch) (session.View, error) {
	<-ctx.Done()
	return session.View{}, ctx.Err()
}

func TestNoRequestWaitsPastItsDeadline(t *testing.T) {
	server := must(New(Config{NodeID: "n1", RequestTimeout: 50 * time.Millisecond}, waiting{newMemory()}, &fixedCluster{}))
	for method, want := range map[string]string{"GET": "overloaded", "PATCH": "outcome_unknown"} {
		request := httptest.NewRequest(method, "/api/sessions/current/", strings.NewReader("{}"))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Session "+must(session.Mint(rand.Reader, 1)).Reveal())
		request.Header.Set("Holdfast-Index", "1122334455667788.18446744073709551615")
		began := time.Now()
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, request)
		if w.Code != 503 || !strings.Contains(w.Body.String(), want) || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %s", method, took)
		}
	}
}
