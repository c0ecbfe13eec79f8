package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const audience = "holdfast-attack"

// An issuer signs logins, serves its key set and counts who fetches it. Each node has an address of its own for the set,
// so that a row can make it misbehave for one of them.
type issuer struct {
	secrets *secrets
	server  *httptest.Server
	trap    *trap
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
	fetches atomic.Int64

	mu        sync.Mutex
	misbehave map[string]http.HandlerFunc // by node
}

// A trap is an address that only tokens name. Whoever connects has obeyed a token.
type trap struct {
	listener net.Listener
	caught   atomic.Int64
}

func openIssuer(secrets *secrets) (i *issuer, err error) {
	i = &issuer{secrets: secrets, misbehave: make(map[string]http.HandlerFunc)}
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if i.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if _, i.ed25519, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if i.trap, err = openTrap(); err != nil {
		return nil, err
	}
	i.server = httptest.NewServer(http.HandlerFunc(i.serve))
	return i, nil
}

func openTrap() (*trap, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &trap{listener: listener}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return // closed
			}
			t.caught.Add(1)
			connection.Close()
		}
	}()
	return t, nil
}

func (t *trap) url() string { return "http://" + t.listener.Addr().String() }

func (i *issuer) close() {
	i.server.Close()
	i.trap.listener.Close()
}

func (i *issuer) name() string                 { return i.server.URL + "/" }
func (i *issuer) keySetURL(node string) string { return i.server.URL + "/keys/" + node }

// set has the key set of one node answered by h; nil is the set itself.
func (i *issuer) set(node string, h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.misbehave[node] = h
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	node, ok := strings.CutPrefix(r.URL.Path, "/keys/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	i.fetches.Add(1)
	i.mu.Lock()
	other := i.misbehave[node]
	i.mu.Unlock()
	if other != nil {
		other(w, r)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": i.jwks()}) // whoever hung up misses it
}

// jwks are the public keys. Both RSA entries are one key under two names, pinned to one algorithm each.
func (i *issuer) jwks() []map[string]any {
	n, e := b64(i.rsa.N.Bytes()), b64(big.NewInt(int64(i.rsa.E)).Bytes())
	point, _ := i.ecdsa.PublicKey.Bytes() // fails only for a key that is none
	return []map[string]any{
		{"kty": "RSA", "kid": "rs", "alg": "RS256", "use": "sig", "n": n, "e": e},
		{"kty": "RSA", "kid": "ps", "alg": "PS256", "use": "sig", "n": n, "e": e},
		{"kty": "EC", "kid": "es", "alg": "ES256", "use": "sig", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "OKP", "kid": "ed", "alg": "EdDSA", "use": "sig", "crv": "Ed25519", "x": b64(i.ed25519.Public().(ed25519.PublicKey))},
	}
}

func (i *issuer) keys() map[string]crypto.Signer {
	return map[string]crypto.Signer{"RS256": i.rsa, "PS256": i.rsa, "ES256": i.ecdsa, "EdDSA": i.ed25519}
}

// claims are those of a good login, which a forgery changes.
func (i *issuer) claims(subject string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": i.name(), "aud": audience, "sub": subject, "iat": now, "exp": now + 3600}
}

// with is claims with some changed, or taken away by nil.
func with(claims map[string]any, changes map[string]any) map[string]any {
	changed := maps.Clone(claims)
	for name, value := range changes {
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
	}
	return changed
}

// sign makes a token that is as it should be, if its claims are.
func (i *issuer) sign(claims map[string]any) (string, error) {
	return i.signed(map[string]any{"alg": "ES256", "kid": "es", "typ": "JWT"}, claims, "ES256", i.ecdsa)
}

// signed makes a token whose header may say anything; alg and key are those that sign it.
func (i *issuer) signed(header, claims map[string]any, alg string, key any) (string, error) {
	return i.signedText(part(header)+"."+part(claims), alg, key)
}

// signedText signs two parts that may be anything.
func (i *issuer) signedText(input, alg string, key any) (string, error) {
	signature, err := jwt.GetSigningMethod(alg).Sign(input, key)
	if err != nil {
		return "", err
	}
	text := input + "." + b64(signature)
	i.secrets.add("a login JWT", text)
	return text, nil
}

// part is one of the first two parts of a token.
func part(value map[string]any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps of plain values
	}
	return b64(raw)
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
