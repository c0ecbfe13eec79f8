package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"github.com/holdfastdb/holdfast/api/auth"
)

func TestMain(m *testing.M) {
	// net/http itself sleeps for half a second before it closes a connection whose body it did not read.
	goleak.VerifyTestMain(everyAnswer{m}, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const (
	issuer   = "https://tenant.example.auth0.com/"
	audience = "https://api.example.com"
)

// node is a server on a real socket with everything behind it in memory. Each answer that its client gets is held
// against docs/openapi.yaml, and nothing secret may be in its log at the end.
type node struct {
	t        *testing.T
	server   *Server
	sessions *memory
	cluster  *fixedCluster
	addr     string
	log      *lockedBuffer
	registry *prometheus.Registry
	client   *http.Client
	service  string
	operator string
	keysFile string
	signer   *ecdsa.PrivateKey
	secrets  []string
	mu       sync.Mutex
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func newNode(t *testing.T, change func(*Config)) *node {
	t.Helper()
	n := &node{t: t, sessions: newMemory(), cluster: &fixedCluster{leader: true, checks: []Check{{Name: "fresh", OK: true}}}, log: &lockedBuffer{}}
	dir := t.TempDir()
	keysPath := filepath.Join(dir, "keys.json")
	n.keysFile = keysPath
	n.service = must(auth.CreateKey(keysPath, auth.RoleService, "web", rand.Reader, time.Now()))
	n.operator = must(auth.CreateKey(keysPath, auth.RoleOperator, "ops", rand.Reader, time.Now()))
	n.signer = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := must(n.signer.PublicKey.Bytes())
	jwks := must(json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
		"x": base64.RawURLEncoding.EncodeToString(public[1:33]), "y": base64.RawURLEncoding.EncodeToString(public[33:]),
	}}}))
	jwksPath := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(jwksPath, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	logins := must(auth.OpenLogins(auth.LoginConfig{
		Issuers: []auth.Issuer{{Issuer: issuer, Audiences: []string{audience}, JWKSFile: jwksPath, TenantClaim: "org_id"}},
		Now:     func() time.Time { return n.now() },
	}))
	registry := prometheus.NewRegistry()
	n.registry = registry
	cfg := Config{
		NodeID: "n1", Keys: must(auth.OpenKeys(keysPath)), Logins: logins, Policy: n.sessions.policy, AccessLog: AccessLogAll,
		Logger:  slog.New(slog.NewJSONHandler(n.log, nil)),
		Metrics: registry, MetricsHandler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}
	if change != nil {
		change(&cfg)
	}
	n.server = must(New(cfg, n.sessions, n.cluster))
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	n.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(ln) }()
	transport := &http.Transport{DisableCompression: true}
	n.client = &http.Client{Transport: &contract{t: t, next: transport}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	n.secrets = []string{n.service, n.operator}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := errors.Join(n.server.Shutdown(t.Context()), <-served, logins.Close()); err != nil && !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
		n.checkLog()
	})
	return n
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (n *node) now() time.Time {
	n.sessions.mu.Lock()
	defer n.sessions.mu.Unlock()
	return n.sessions.now.Std()
}

// checkLog demands that every line is one JSON object, and that neither the log nor the metrics hold a secret.
func (n *node) checkLog() {
	text := n.log.String()
	series := fmt.Sprint(must(n.registry.Gather()))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, secret := range n.secrets {
		for _, part := range strings.Split(secret, ".") {
			if len(part) > 38 && (strings.Contains(text, part) || strings.Contains(series, part)) {
				n.t.Error("a secret is in the log or in the metrics")
			}
		}
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line != "" && !json.Valid([]byte(line)) {
			n.t.Errorf("a line of the log is no JSON: %q", line)
		}
	}
}

func (n *node) secret(text string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.secrets = append(n.secrets, text)
	return text
}

// jwt signs a login for a user, issued now, with the claims of more over the usual ones.
func (n *node) jwt(sub string, more map[string]any) string {
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": sub, "iat": n.now().Unix(), "exp": n.now().Add(time.Hour).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "k1"
	return n.secret(must(token.SignedString(n.signer)))
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
	closes bool // the connection ends after it
}

// do sends a request. The headers are given as "Name: value"; a body gets a JSON content type unless they say otherwise.
func (n *node) do(method, path, body string, headers ...string) answer {
	n.t.Helper()
	request := must(http.NewRequestWithContext(n.t.Context(), method, "http://"+n.addr+path, strings.NewReader(body)))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	} else {
		request.Body, request.ContentLength = nil, 0
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Content-Type" {
			request.Header.Set(name, value)
		} else {
			request.Header.Add(name, value)
		}
	}
	response, err := n.client.Do(request)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	raw := must(io.ReadAll(response.Body))
	return answer{n.t, response.StatusCode, response.Header, string(raw), response.Close}
}

func bearer(text string) string { return "Authorization: Bearer " + text }
func token(text string) string  { return "Authorization: Session " + text }
func beside(text string) string { return "Holdfast-Session: " + text }
func asCookie(t string) string  { return "Cookie: a=b; __Host-holdfast=" + t }

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("got %d %s, want %d", a.status, a.body, status)
	}
	return a
}

// wantCode demands a problem.
func (a answer) wantCode(status int, code string) answer {
	a.t.Helper()
	if got := a.get("code"); a.status != status || got != code || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Errorf("got %d %v %s, want %d %s", a.status, got, a.body, status, code)
	}
	return a
}

// get reads a member of the body, "session.data.a" inside objects.
func (a answer) get(path string) any {
	a.t.Helper()
	var value any
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		a.t.Fatalf("the body %q is no JSON", a.body)
	}
	for _, name := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

func (a answer) text(path string) string {
	a.t.Helper()
	text, _ := a.get(path).(string)
	return text
}

func (a answer) wantMember(path string, want any) answer {
	a.t.Helper()
	if got := a.get(path); got != want {
		a.t.Errorf("%s is %v, want %v, in %s", path, got, want, a.body)
	}
	return a
}

// login makes a session with the service key and returns its token and id.
func (n *node) login(body string, headers ...string) (tokenText, id string) {
	n.t.Helper()
	a := n.do("POST", "/api/sessions/create/", body, append(headers, bearer(n.service))...).want(201)
	return n.secret(a.text("token")), a.text("session.id")
}

// plain is do without the contract: preflights are no calls of the document.
func (n *node) plain(method, path string, headers ...string) answer {
	n.t.Helper()
	guarded := n.client
	n.client = &http.Client{Transport: guarded.Transport.(*contract).next}
	defer func() { n.client = guarded }()
	return n.do(method, path, "", headers...)
}
