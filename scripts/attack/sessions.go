package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// An owned is a session that a row may attack.
type owned struct{ token, id, user string }

func (o owned) auth() string { return "Session " + o.token }

// create makes a session with the service key; the members are those of the contract.
func (a *attack) create(ctx context.Context, members map[string]any) (owned, error) {
	body, err := json.Marshal(members)
	if err != nil {
		return owned{}, err
	}
	return a.created(ctx, request{node: a.nodes[0], method: "POST", path: createPath, body: string(body), auth: "Bearer " + a.cluster.service})
}

// newSession makes a session of a user that has no other.
func (a *attack) newSession(ctx context.Context) (owned, error) {
	return a.create(ctx, map[string]any{"user_id": "victim|" + rand.Text()})
}

func (a *attack) created(ctx context.Context, r request) (owned, error) {
	got, err := mustAsk(ctx, http.StatusCreated, r)
	if err != nil {
		return owned{}, err
	}
	a.secrets.addTokens(got)
	s := owned{token: got.text("token"), id: got.text("session", "id"), user: got.text("session", "user_id")}
	if s.token == "" || s.id == "" {
		return owned{}, fmt.Errorf("a create answered without a token or a session: %.200s", got.body)
	}
	return s, nil
}

// login makes a session with a JWT of the issuer.
func (a *attack) login(ctx context.Context, claims map[string]any) (owned, error) {
	text, err := a.issuer.sign(claims)
	if err != nil {
		return owned{}, err
	}
	return a.created(ctx, request{node: a.nodes[0], method: "POST", path: createPath, body: "{}", auth: "Bearer " + text})
}

// lives says what is wrong if the session is refused by any node, asked in a way that no node can answer from the past.
func (a *attack) lives(ctx context.Context, s owned) error {
	for _, n := range a.cluster.live() {
		if _, err := mustAsk(ctx, http.StatusOK, strongRead(n, s.token)); err != nil {
			return fmt.Errorf("the session is gone: %w", err)
		}
	}
	return nil
}

// dead says what is wrong if the token is anything but refused by every node.
func (a *attack) dead(ctx context.Context, token string) error {
	for _, n := range a.cluster.live() {
		if fault := sessionInvalid.check(ask(ctx, strongRead(n, token))); fault != "" {
			return fmt.Errorf("the token is not refused by %s: %s", n.id, fault)
		}
	}
	return nil
}

func strongRead(n *node, token string) request {
	return request{node: n, path: currentPath, auth: "Session " + token, headers: []string{"Holdfast-Consistency", "strong", "Holdfast-Touch", "no"}}
}

// strangerToken is a token in the right form that no node has minted.
func strangerToken() string {
	var bits [48]byte
	_, _ = rand.Read(bits[:]) // never fails
	id := fmt.Sprintf("%012x", time.Now().UnixMilli())
	return fmt.Sprintf("hfs_%s-%s-7%03x-%x-%x.%s", id[:8], id[8:], uint16(bits[0])<<4, []byte{bits[1]&0x3f | 0x80, bits[2]}, bits[3:9],
		base64.RawURLEncoding.EncodeToString(bits[16:]))
}

// withSecret is another secret for the id of a token.
func withSecret(token, secret string) string { return token[:strings.IndexByte(token, '.')+1] + secret }

func secretOf(token string) string { return token[strings.IndexByte(token, '.')+1:] }
