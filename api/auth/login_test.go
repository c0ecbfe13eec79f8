package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/holdfastdb/holdfast/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testIssuer   = "https://tenant.example.auth0.com/"
	testAudience = "https://api.example.com"
)

// The keys are made once: RSA keys take their time.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	ps, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	es, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"rs": rs, "ps": ps, "weak": weak, "es": es, "p384": p384, "ed": ed}
})

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// jwk is the public half of a key as a JWK with the members of more added.
func jwk(kid string, key crypto.Signer, more map[string]any) map[string]any {
	out := map[string]any{"kid": kid, "use": "sig"}
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, _ := public.Bytes()
		half := (len(raw) - 1) / 2
		out["kty"], out["crv"], out["x"], out["y"] = "EC", public.Curve.Params().Name, b64(raw[1:1+half]), b64(raw[1+half:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64(public)
	}
	maps.Copy(out, more)
	return out
}

func jwks(keys ...map[string]any) []byte {
	raw, _ := json.Marshal(map[string]any{"keys": keys})
	return raw
}

func allKeys() []byte {
	keys := testKeys()
	return jwks(
		jwk("rs", keys["rs"], map[string]any{"alg": "RS256"}),
		jwk("rs-bare", keys["rs"], nil),
		jwk("ps", keys["ps"], map[string]any{"alg": "PS256"}),
		jwk("es", keys["es"], map[string]any{"alg": "ES256"}),
		jwk("ed", keys["ed"], map[string]any{"alg": "EdDSA"}),
		jwk("weak", keys["weak"], nil),
		jwk("p384", keys["p384"], nil),
		jwk("enc", keys["rs"], map[string]any{"use": "enc"}),
		map[string]any{"kid": "oct", "kty": "oct", "k": b64([]byte("0123456789abcdef0123456789abcdef")), "alg": "HS256"},
	)
}

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": testIssuer, "aud": testAudience, "sub": "auth0|123", "sid": "s1", "org_id": "org_1",
		"iat": testNow.Add(-time.Minute).Unix(), "exp": testNow.Add(time.Hour).Unix(),
	}
}

type opened struct {
	*Logins
	fetches *atomic.Int64
	serve   func(http.HandlerFunc)
}

// openTestLogins serves the JWKS over HTTP and trusts testIssuer, whose key set it is.
func openTestLogins(t *testing.T, change func(*LoginConfig)) opened {
	t.Helper()
	var fetches atomic.Int64
	var handler atomic.Value
	handler.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(allKeys()) }))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		handler.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := LoginConfig{
		Issuers:  []Issuer{{Issuer: testIssuer, Audiences: []string{"other", testAudience}, JWKSURL: server.URL + "/jwks", TenantClaim: "org_id"}},
		Cooldown: time.Hour, Now: func() time.Time { return testNow },
	}
	if change != nil {
		change(&cfg)
	}
	logins, err := OpenLogins(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logins.Close() })
	return opened{logins, &fetches, func(h http.HandlerFunc) { handler.Store(h) }}
}

func sign(t *testing.T, method jwt.SigningMethod, header map[string]any, claims jwt.MapClaims, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signRS(t *testing.T, claims jwt.MapClaims) string {
	return sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs"}, claims, testKeys()["rs"])
}

func TestEachAlgorithmVerifiesWithItsOwnKey(t *testing.T) {
	logins := openTestLogins(t, nil)
	for _, c := range []struct {
		method jwt.SigningMethod
		kid    string
		key    string
	}{
		{jwt.SigningMethodRS256, "rs", "rs"},
		{jwt.SigningMethodRS256, "rs-bare", "rs"},
		{jwt.SigningMethodPS256, "ps", "ps"},
		{jwt.SigningMethodES256, "es", "es"},
		{jwt.SigningMethodEdDSA, "ed", "ed"},
	} {
		login, err := logins.Verify(t.Context(), sign(t, c.method, map[string]any{"kid": c.kid}, goodClaims(), testKeys()[c.key]))
		if err != nil {
			t.Errorf("%s with the key %s: %v", c.method.Alg(), c.kid, err)
			continue
		}
		want := Login{
			UserID: "auth0|123", TenantID: "org_1", Issuer: testIssuer, Subject: "auth0|123", SID: "s1",
			IssuedAt: testNow.Add(-time.Minute), AuthTime: testNow.Add(-time.Minute),
		}
		if login != want {
			t.Errorf("%s: got %+v, want %+v", c.method.Alg(), login, want)
		}
	}
	if n := logins.fetches.Load(); n != 1 {
		t.Errorf("%d fetches of the key set", n)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	logins := openTestLogins(t, nil)
	keys := testKeys()
	good := signRS(t, goodClaims())
	parts := strings.Split(good, ".")
	publicPEM, _ := x509.MarshalPKIXPublicKey(keys["rs"].Public())
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicPEM})
	header := func(h string) string { return b64([]byte(h)) }
	attacker, _ := rsa.GenerateKey(rand.Reader, 2048)
	var outbound atomic.Int64
	lure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		outbound.Add(1)
		w.Write(jwks(jwk("rs", attacker, nil)))
	}))
	defer lure.Close()

	outer := b64([]byte(`{"alg":"RS256","kid":"rs","cty":"JWT"}`)) + "." + b64([]byte(good))
	signature, err := jwt.SigningMethodRS256.Sign(outer, keys["rs"])
	if err != nil {
		t.Fatal(err)
	}
	nested := outer + "." + b64(signature)

	cases := map[string]string{
		"empty":              "",
		"no dots":            "abc",
		"five parts":         "a.b.c.d.e",
		"a megabyte of dots": strings.Repeat(".", 1<<20),
		"8 KiB of dots":      strings.Repeat(".", 8<<10),
		"alg none":           header(`{"alg":"none","kid":"rs"}`) + "." + parts[1] + ".",
		"alg NONE":           header(`{"alg":"NONE","kid":"rs"}`) + "." + parts[1] + ".",
		"alg nOnE signed":    header(`{"alg":"nOnE","kid":"rs"}`) + "." + parts[1] + "." + parts[2],
		"alg missing":        header(`{"kid":"rs"}`) + "." + parts[1] + "." + parts[2],
		"alg a number":       header(`{"alg":1,"kid":"rs"}`) + "." + parts[1] + "." + parts[2],
		"empty signature":    parts[0] + "." + parts[1] + ".",
		"stripped signature": parts[0] + "." + parts[1],
		"signature of other": parts[0] + "." + parts[1] + "." + strings.Split(sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs"}, goodClaims(), attacker), ".")[2],
		"padded signature":   good + "=",
		"HS256 with the PEM": sign(t, jwt.SigningMethodHS256, map[string]any{"kid": "rs"}, goodClaims(), asPEM),
		"HS256 with the DER": sign(t, jwt.SigningMethodHS256, map[string]any{"kid": "rs"}, goodClaims(), publicPEM),
		"HS256 with oct":     sign(t, jwt.SigningMethodHS256, map[string]any{"kid": "oct"}, goodClaims(), []byte("0123456789abcdef0123456789abcdef")),
		"PS256 on RS256":     sign(t, jwt.SigningMethodPS256, map[string]any{"kid": "rs"}, goodClaims(), keys["rs"]),
		"PS256 on bare RSA":  sign(t, jwt.SigningMethodPS256, map[string]any{"kid": "rs-bare"}, goodClaims(), keys["rs"]),
		"RS256 on PS256":     sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "ps"}, goodClaims(), keys["ps"]),
		"RS512":              sign(t, jwt.SigningMethodRS512, map[string]any{"kid": "rs"}, goodClaims(), keys["rs"]),
		"ES256 on RSA kid":   sign(t, jwt.SigningMethodES256, map[string]any{"kid": "rs"}, goodClaims(), keys["es"]),
		"ES384":              sign(t, jwt.SigningMethodES384, map[string]any{"kid": "p384"}, goodClaims(), keys["p384"]),
		"weak RSA":           sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "weak"}, goodClaims(), keys["weak"]),
		"encryption key":     sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "enc"}, goodClaims(), keys["rs"]),
		"no kid of several":  sign(t, jwt.SigningMethodRS256, nil, goodClaims(), keys["rs"]),
		"kid a number":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": 7}, goodClaims(), keys["rs"]),
		"kid a path":         sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "../../etc/passwd"}, goodClaims(), keys["rs"]),
		"kid a query":        sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "' OR 1=1 --"}, goodClaims(), keys["rs"]),
		"kid long":           sign(t, jwt.SigningMethodRS256, map[string]any{"kid": strings.Repeat("k", 300)}, goodClaims(), keys["rs"]),
		"unknown crit":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "crit": []string{"x"}, "x": 1}, goodClaims(), keys["rs"]),
		"empty crit":         sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "crit": []string{}}, goodClaims(), keys["rs"]),
		"logout token":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "typ": "logout+jwt"}, goodClaims(), keys["rs"]),
		"typ a number":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "typ": 3}, goodClaims(), keys["rs"]),
		"embedded jwk":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "jwk": jwk("rs", attacker, nil)}, goodClaims(), attacker),
		"embedded x5c":       sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "x5c": []string{"MIIB"}}, goodClaims(), attacker),
		"jku of a known kid": sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "jku": lure.URL}, goodClaims(), attacker),
		"x5u of a known kid": sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "rs", "x5u": lure.URL}, goodClaims(), attacker),
		"kid an address":     sign(t, jwt.SigningMethodRS256, map[string]any{"kid": lure.URL}, goodClaims(), attacker),
		"nested JWT":         nested,
		"JWE":                b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rs"}`)) + "." + parts[1] + "." + parts[1] + "." + parts[2] + "." + parts[2],
		"jku":                sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "lure", "jku": lure.URL}, goodClaims(), attacker),
		"x5u":                sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "lure", "x5u": lure.URL}, goodClaims(), attacker),
		"over 8 KiB":         signRS(t, func() jwt.MapClaims { c := goodClaims(); c["pad"] = strings.Repeat("x", 8<<10); return c }()),
		"header not JSON":    b64([]byte("{")) + "." + parts[1] + "." + parts[2],
		"claims not JSON":    parts[0] + "." + b64([]byte("[]")) + "." + parts[2],
	}
	for name, text := range cases {
		_, err := logins.Verify(t.Context(), text)
		if session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := outbound.Load(); n != 0 {
		t.Errorf("%d connections to where a token pointed", n)
	}
	if n := logins.fetches.Load(); n != 1 {
		t.Errorf("%d fetches of the key set", n)
	}
	if _, err := logins.Verify(t.Context(), good); err != nil {
		t.Errorf("the good token: %v", err)
	}
}

func TestClaimsAreChecked(t *testing.T) {
	logins := openTestLogins(t, nil)
	at := func(d time.Duration) int64 { return testNow.Add(d).Unix() }
	const drop = "drop"
	for _, c := range []struct {
		name  string
		claim string
		value any
		ok    bool
	}{
		{"aud a list with ours", "aud", []string{"x", testAudience}, true},
		{"aud another", "aud", "https://api.example.com/", false},
		{"aud empty list", "aud", []string{}, false},
		{"aud missing", "aud", drop, false},
		{"aud a number", "aud", 1, false},
		{"aud null", "aud", nil, false},
		{"aud an object", "aud", map[string]any{testAudience: true}, false},
		{"aud two of ours", "aud", []string{testAudience, "other"}, true},
		{"aud a mixed list", "aud", []any{testAudience, 1}, false},
		{"iss without its slash", "iss", strings.TrimSuffix(testIssuer, "/"), false},
		{"iss upper case", "iss", strings.ToUpper(testIssuer), false},
		{"iss a list", "iss", []string{testIssuer}, false},
		{"iss null", "iss", nil, false},
		{"iss missing", "iss", drop, false},
		{"exp just passed, within the leeway", "exp", at(-20 * time.Second), true},
		{"exp passed", "exp", at(-31 * time.Second), false},
		{"exp missing", "exp", drop, false},
		{"exp null", "exp", nil, false},
		{"exp a list", "exp", []int64{at(time.Hour)}, false},
		{"exp a string", "exp", "9999999999", false},
		{"exp negative", "exp", -1, false},
		{"exp huge", "exp", 1e300, false},
		{"exp beyond the longest life", "exp", at(25 * time.Hour), false},
		{"nbf now", "nbf", at(0), true},
		{"nbf within the leeway", "nbf", at(20 * time.Second), true},
		{"nbf in the future", "nbf", at(time.Minute), false},
		{"nbf a string", "nbf", "soon", false},
		{"nbf null", "nbf", nil, false},
		{"iat missing", "iat", drop, false},
		{"iat in the future", "iat", at(time.Minute), false},
		{"iat a fraction", "iat", float64(at(-time.Minute)) + 0.75, true},
		{"iat null", "iat", nil, false},
		{"iat within the leeway", "iat", at(30 * time.Second), true},
		{"iat just beyond the leeway", "iat", at(31 * time.Second), false},
		{"iat a boolean", "iat", true, false},
		{"sub missing", "sub", drop, false},
		{"sub empty", "sub", "", false},
		{"sub a number", "sub", 5, false},
		{"sub with a line feed", "sub", "a\nb", false},
		{"sub too long for a user", "sub", strings.Repeat("a", 257), false},
		{"sid a number", "sid", 5, false},
		{"tenant a list", "org_id", []string{"a"}, false},
		{"tenant missing", "org_id", drop, true},
		{"events there", "events", map[string]any{}, false},
	} {
		claims := goodClaims()
		if c.value == drop {
			delete(claims, c.claim)
		} else {
			claims[c.claim] = c.value
		}
		login, err := logins.Verify(t.Context(), signRS(t, claims))
		if c.ok != (err == nil) || !c.ok && session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("%s: got %v", c.name, err)
		}
		if c.ok && c.claim != "iat" && login.IssuedAt != testNow.Add(-time.Minute) || login.IssuedAt.Nanosecond() != 0 {
			t.Errorf("%s: issued at %s", c.name, login.IssuedAt)
		}
	}
}

func TestAThousandUnknownKidsMakeOneFetchPerCooldown(t *testing.T) {
	logins := openTestLogins(t, nil)
	if _, err := logins.Verify(t.Context(), signRS(t, goodClaims())); err != nil {
		t.Fatal(err)
	}
	text := sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "unknown"}, goodClaims(), testKeys()["ed"])
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 20 {
				if _, err := logins.Verify(t.Context(), text); session.CodeOf(err) != session.CodeLoginInvalid {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	group.Wait()
	if n := logins.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

type fetch func() []byte

func (f fetch) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(f()))}, nil
}

func TestEachCooldownAllowsOneFetchMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins, err := OpenLogins(LoginConfig{
			Issuers:  []Issuer{{Issuer: testIssuer, Audiences: []string{testAudience}, JWKSURL: "https://issuer.example/jwks"}},
			Cooldown: 10 * time.Second, RefreshEvery: time.Hour, Now: func() time.Time { return testNow },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer logins.Close()
		var fetches atomic.Int64
		logins.client.Transport = fetch(func() []byte { fetches.Add(1); return allKeys() })
		good := signRS(t, goodClaims())
		for period := int64(1); period <= 3; period++ {
			for i := range 1000 {
				text := b64([]byte(`{"alg":"RS256","kid":"`+strconv.Itoa(i)+`"}`)) + good[strings.Index(good, "."):]
				if _, err := logins.Verify(t.Context(), text); session.CodeOf(err) != session.CodeLoginInvalid {
					t.Fatal(err)
				}
			}
			if got := fetches.Load(); got != period {
				t.Fatalf("%d fetches after %d periods", got, period)
			}
			time.Sleep(10 * time.Second) // the bubble's clock
		}
		if _, err := logins.Verify(t.Context(), good); err != nil || fetches.Load() != 3 {
			t.Errorf("a known key: %v, %d fetches", err, fetches.Load())
		}
	})
}

func TestANewKeyIsFoundOnceTheCooldownIsOver(t *testing.T) {
	logins := openTestLogins(t, func(c *LoginConfig) { c.Cooldown = time.Nanosecond })
	logins.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(jwks(jwk("rs", testKeys()["rs"], nil))) })
	if _, err := logins.Verify(t.Context(), signRS(t, goodClaims())); err != nil {
		t.Fatal(err)
	}
	logins.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(allKeys()) })
	text := sign(t, jwt.SigningMethodES256, map[string]any{"kid": "es"}, goodClaims(), testKeys()["es"])
	if _, err := logins.Verify(t.Context(), text); err != nil {
		t.Errorf("the new key: %v", err)
	}
}

func TestAKeySetThatCannotBeHadIsNotTheLoginsFault(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(allKeys()) }))
	defer elsewhere.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"gone":       func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"not JSON":   func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"empty":      func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":[]}`)) },
		"redirected": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"circular":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) },
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(append(allKeys(), bytes.Repeat([]byte(" "), maxJWKSBytes)...))
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"two of a name": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(jwks(jwk("rs", testKeys()["rs"], nil), jwk("rs", testKeys()["ps"], nil)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			logins := openTestLogins(t, func(c *LoginConfig) { c.FetchTimeout = 100 * time.Millisecond })
			logins.serve(handler)
			_, err := logins.Verify(t.Context(), signRS(t, goodClaims()))
			if session.CodeOf(err) != session.CodeStaleNode {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestKnownKeysGoOnWorkingWhileTheIssuerIsDown(t *testing.T) {
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		followed.Add(1)
		w.Write(jwks(jwk("rs", testKeys()["ps"], nil)))
	}))
	defer elsewhere.Close()
	for name, trouble := range map[string]http.HandlerFunc{
		"down": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) },
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(append(jwks(jwk("rs", testKeys()["ps"], nil)), bytes.Repeat([]byte(" "), maxJWKSBytes)...))
		},
		"redirected": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"emptied":    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":[]}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			logins := openTestLogins(t, func(c *LoginConfig) {
				c.Cooldown, c.RefreshEvery, c.FetchTimeout = time.Nanosecond, time.Nanosecond, 100*time.Millisecond
			})
			good := signRS(t, goodClaims())
			if _, err := logins.Verify(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			logins.serve(trouble)
			for range 3 { // each starts a fetch, and does not wait for it
				if _, err := logins.Verify(t.Context(), good); err != nil {
					t.Fatal(err)
				}
				logins.issuers[testIssuer].source.running.Wait()
			}
			if n := logins.fetches.Load(); n != 4 {
				t.Errorf("%d fetches of the key set", n)
			}
			if _, err := logins.Verify(t.Context(), good); err != nil {
				t.Error(err)
			}
		})
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d connections to where the issuer redirects", n)
	}
}

func TestACallerThatGoesAwayDoesNotWait(t *testing.T) {
	logins := openTestLogins(t, nil)
	logins.serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := logins.Verify(ctx, signRS(t, goodClaims())); session.CodeOf(err) != session.CodeStaleNode {
		t.Errorf("got %v", err)
	}
}

func TestAKeySetMayComeFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(jwks(jwk("", testKeys()["es"], nil)))
	logins := openTestLogins(t, func(c *LoginConfig) { c.Issuers[0].JWKSURL, c.Issuers[0].JWKSFile = "", path })
	text := sign(t, jwt.SigningMethodES256, nil, goodClaims(), testKeys()["es"])
	if _, err := logins.Verify(t.Context(), text); err != nil {
		t.Errorf("a token without a kid and the only key without one: %v", err)
	}
	write([]byte("broken"))
	if err := logins.Reload(); err == nil {
		t.Error("a broken file is accepted")
	}
	if _, err := logins.Verify(t.Context(), text); err != nil {
		t.Errorf("after a broken file: %v", err)
	}
	write(allKeys())
	if err := logins.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := logins.Verify(t.Context(), signRS(t, goodClaims())); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if _, err := OpenLogins(LoginConfig{Issuers: []Issuer{{Issuer: "i", Audiences: []string{"a"}, JWKSFile: path + ".none"}}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTheDefaultAddressIsAuth0s(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://t.auth0.com/":         "https://t.auth0.com/.well-known/jwks.json",
		"https://id.example.com/realm": "https://id.example.com/realm/.well-known/jwks.json",
	} {
		if got := (Issuer{Issuer: issuer}).jwksURL(); got != want {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

func TestSeveralIssuersNeverShareAUser(t *testing.T) {
	one := Issuer{Issuer: "https://a/", Audiences: []string{"x"}, UserPrefix: "a:"}
	two := Issuer{Issuer: "https://b/", Audiences: []string{"x"}, UserPrefix: "b:"}
	if err := (LoginConfig{Issuers: []Issuer{one, two}}).Validate(); err != nil {
		t.Errorf("different prefixes: %v", err)
	}
	for _, prefix := range []string{"", "a:", "a:b", "a"} {
		two.UserPrefix = prefix
		if err := (LoginConfig{Issuers: []Issuer{one, two}}).Validate(); err == nil {
			t.Errorf("the prefixes %q and %q are accepted", one.UserPrefix, prefix)
		}
	}
}

func TestAnIssuersKeysSpeakForThatIssuerOnly(t *testing.T) {
	dir := t.TempDir()
	issuer := func(name, key string) Issuer {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, jwks(jwk("k", testKeys()[key], nil)), 0o600); err != nil {
			t.Fatal(err)
		}
		return Issuer{Issuer: "https://" + name + "/", Audiences: []string{name}, UserPrefix: name + ":", JWKSFile: path}
	}
	l := openTestLogins(t, func(c *LoginConfig) { c.Issuers = []Issuer{issuer("a", "rs"), issuer("b", "ps")} })
	for _, c := range []struct {
		issuer, audience, key string
		want                  string // of the refusal; "" if it is accepted
	}{
		{"a", "a", "rs", ""},
		{"b", "b", "ps", ""},
		{"a", "a", "ps", "signature"},
		{"b", "b", "rs", "signature"},
		{"a", "b", "rs", "audience"},
	} {
		claims := goodClaims()
		claims["iss"], claims["aud"] = "https://"+c.issuer+"/", c.audience
		login, err := l.Verify(t.Context(), sign(t, jwt.SigningMethodRS256, map[string]any{"kid": "k"}, claims, testKeys()[c.key]))
		if c.want != "" {
			demandRefusal(t, c.issuer+" with the key "+c.key, err, c.want)
		} else if err != nil || login.UserID != c.issuer+":auth0|123" {
			t.Errorf("%s: %+v, %v", c.issuer, login, err)
		}
	}
}

func TestTheLeewayIsTheOperators(t *testing.T) {
	claims := goodClaims()
	claims["exp"] = testNow.Add(-10 * time.Second).Unix()
	text := signRS(t, claims)
	for leeway, ok := range map[time.Duration]bool{5 * time.Second: false, 10 * time.Second: false, 11 * time.Second: true, time.Minute: true} {
		l := openTestLogins(t, func(c *LoginConfig) { c.Leeway = leeway })
		if _, err := l.Verify(t.Context(), text); ok != (err == nil) {
			t.Errorf("a leeway of %s: %v", leeway, err)
		}
	}
}

func TestWhatIsOverTheLimitIsRefusedBeforeItIsRead(t *testing.T) {
	l := openTestLogins(t, nil)
	_, err := l.Verify(t.Context(), strings.Repeat(".", 1<<20))
	demandRefusal(t, "a megabyte of dots", err, "has 1048576 bytes")
	_, err = l.Verify(t.Context(), strings.Repeat(".", MaxJWTBytes))
	demandRefusal(t, "as many dots as are allowed", err, "three parts")
	long := map[string]any{"kid": strings.Repeat("k", maxKidBytes+1)}
	_, err = l.Verify(t.Context(), sign(t, jwt.SigningMethodRS256, long, goodClaims(), testKeys()["rs"]))
	demandRefusal(t, "a long kid", err, "the header kid")
	if n := l.fetches.Load(); n != 0 {
		t.Errorf("%d fetches of the key set", n)
	}
}

func TestAStrangeKeyDoesNotSpoilItsSet(t *testing.T) {
	l := openTestLogins(t, nil)
	l.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(jwks(map[string]any{"kty": "FUTURE", "kid": 7, "x5c": "text"}, map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AAAA"}, jwk("rs", testKeys()["rs"], nil)))
	})
	if _, err := l.Verify(t.Context(), signRS(t, goodClaims())); err != nil {
		t.Error(err)
	}
	short := sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "short"}, goodClaims(), testKeys()["ed"])
	if _, err := l.Verify(t.Context(), short); session.CodeOf(err) != session.CodeLoginInvalid {
		t.Errorf("a key of three bytes: %v", err)
	}
}

func TestAnIssuerThatNoSessionMayNameIsRefused(t *testing.T) {
	good := Issuer{Issuer: testIssuer, Audiences: []string{testAudience}}
	long, control, prefix := good, good, good
	long.Issuer += strings.Repeat("x", session.MaxIssuerBytes)
	control.Issuer, control.JWKSURL = "a\nb", "https://issuer.example/"
	prefix.UserPrefix = strings.Repeat("p", session.MaxUserIDBytes+1)
	for name, issuer := range map[string]Issuer{"a long name": long, "a name with a line feed": control, "a long prefix": prefix} {
		if err := (LoginConfig{Issuers: []Issuer{issuer}}).Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := (LoginConfig{Issuers: []Issuer{good}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesAllFaults(t *testing.T) {
	err := LoginConfig{MaxLifetime: -1, Issuers: []Issuer{{}, {Issuer: "ftp://x", Audiences: []string{""}, UserPrefix: "p", JWKSURL: "u", JWKSFile: "f"}}}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"jwt-max-lifetime", "is empty", "jwt-audience is needed", "exclude each other", "several issuers"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func FuzzVerify(f *testing.F) {
	logins, err := OpenLogins(LoginConfig{})
	if err != nil {
		f.Fatal(err)
	}
	defer logins.Close()
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"RS256","kid":"x"}`)) + "." + b64([]byte(`{"iss":"x"}`)) + "." + b64([]byte("sig")))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := logins.Verify(t.Context(), text); session.CodeOf(err) != session.CodeLoginInvalid {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","x5u":"http://127.0.0.1:1/"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := parseJWKS(raw)
		if err == nil && len(set.kids) == 0 {
			t.Error("a set without keys")
		}
	})
}

func FuzzSignedToken(f *testing.F) {
	path := filepath.Join(f.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks(jwk("es", testKeys()["es"], nil)), 0o600); err != nil {
		f.Fatal(err)
	}
	logins, err := OpenLogins(LoginConfig{
		Issuers: []Issuer{{Issuer: testIssuer, Audiences: []string{testAudience}, JWKSFile: path, TenantClaim: "org_id"}},
		Now:     func() time.Time { return testNow },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { logins.Close() })
	good, _ := json.Marshal(goodClaims())
	f.Add([]byte(`{"alg":"ES256","kid":"es","typ":"JWT"}`), good)
	f.Add([]byte(`{"alg":"ES256"}`), bytes.Replace(good, []byte(`"exp":`), []byte(`"exp":1e2,"exp":`), 1))
	f.Add([]byte(`{"alg":"none","kid":"es","crit":[]}`), []byte(`{"iss":`+strconv.Quote(testIssuer)+`,"aud":[[]],"exp":-0.1}`))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		signed := b64(header) + "." + b64(claims)
		signature, err := jwt.SigningMethodES256.Sign(signed, testKeys()["es"])
		if err != nil {
			t.Fatal(err)
		}
		login, err := logins.Verify(t.Context(), signed+"."+b64(signature))
		if err != nil {
			if session.CodeOf(err) != session.CodeLoginInvalid {
				t.Errorf("%s %s: %v", header, claims, err)
			}
			return
		}
		if login.UserID == "" || login.Issuer != testIssuer || login.IssuedAt.After(testNow.Add(time.Minute)) || login.IssuedAt.Nanosecond() != 0 ||
			session.ValidUserID(login.UserID) != nil || session.ValidTenantID(login.TenantID) != nil ||
			session.ValidAuth(session.Auth{Issuer: login.Issuer, Subject: login.Subject, SID: login.SID}) != nil {
			t.Errorf("%s %s: accepted as %+v", header, claims, login)
		}
	})
}
