package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	visitRounds = 4 // patches of one session, each with a read after it
	// visitTimeout is above the node's own deadline, so that its answer is heard.
	visitTimeout = 10 * time.Second
)

// visitor is one user of a cluster under chaos, and an honest client: it logs in, patches, reads what it wrote (on
// whichever node the balancer takes, with the index of the write), logs out, and then wants to be refused. It repeats
// nothing: an answer that is not the promised one is a failure.
type visitor struct {
	url    string // of the balancer
	client *http.Client
	user   string
	login  func(user string) (string, error) // signs a login JWT
	tally  *tally

	step  int
	token string
	index string // of the last write
	n     int    // what the last patch wrote
	turns int    // how often it has logged out
}

// reply is what a visitor looks at of an answer.
type reply struct {
	status      int
	index, node string
	body        []byte
}

// next does one request: the next step of a session's life. After a failure the session is left alone.
func (v *visitor) next(ctx context.Context) {
	var err error
	switch last := 2*visitRounds + 1; {
	case v.step == 0:
		err = v.logIn(ctx)
	case v.step == last:
		err = v.logOut(ctx)
	case v.step > last:
		err = v.lookAfterLogout(ctx)
	case v.step%2 == 1:
		err = v.patch(ctx)
	default:
		err = v.read(ctx)
	}
	v.tally.answered(err)
	v.step++
	if err != nil || v.step > 2*visitRounds+2 {
		v.step = 0
	}
}

func (v *visitor) logIn(ctx context.Context) error {
	v.n = 0
	login, err := v.login(v.user)
	if err != nil {
		return err
	}
	got, err := v.write(ctx, http.MethodPost, "/api/sessions/create/", "Bearer "+login, `{"data":{"n":0}}`, http.StatusCreated)
	if err != nil {
		return err
	}
	var created struct{ Token string }
	if err := json.Unmarshal(got.body, &created); err != nil || created.Token == "" {
		return errors.New("a create was answered without a token")
	}
	v.token = created.Token
	return nil
}

func (v *visitor) patch(ctx context.Context) error {
	v.n++
	_, err := v.write(ctx, http.MethodPatch, "/api/sessions/current/", "Session "+v.token, fmt.Sprintf(`{"n":%d}`, v.n), http.StatusOK)
	return err
}

// read checks that the visitor reads its own write.
func (v *visitor) read(ctx context.Context) error {
	got, err := v.ask(ctx, http.MethodGet, "/api/sessions/current/", "", http.Header{
		"Authorization": {"Session " + v.token}, "Holdfast-Index": {v.index},
	})
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return got.wrong("GET", http.StatusOK)
	}
	var answer struct {
		Session struct{ Data struct{ N int } }
	}
	if err := json.Unmarshal(got.body, &answer); err != nil {
		return fmt.Errorf("a read was answered with something that is not JSON: %w", err)
	}
	if answer.Session.Data.N != v.n {
		v.tally.wasStale(fmt.Errorf("%s shows write %d after write %d was acknowledged", got.node, answer.Session.Data.N, v.n))
	}
	return nil
}

func (v *visitor) logOut(ctx context.Context) error {
	v.turns++
	_, err := v.write(ctx, http.MethodDelete, "/api/sessions/current/", "Session "+v.token, "", http.StatusNoContent)
	return err
}

// lookAfterLogout wants to be refused: by a strong read one time, by a read with the logout's index the other.
func (v *visitor) lookAfterLogout(ctx context.Context) error {
	header := http.Header{"Authorization": {"Session " + v.token}}
	if v.turns%2 == 0 {
		header.Set("Holdfast-Index", v.index)
	} else {
		header.Set("Holdfast-Consistency", "strong")
	}
	got, err := v.ask(ctx, http.MethodGet, "/api/sessions/current/", "", header)
	switch {
	case err != nil:
		return err
	case got.status == http.StatusUnauthorized:
	case got.status == http.StatusOK:
		v.tally.wasStale(fmt.Errorf("%s serves a session that was logged out", got.node))
	default:
		return got.wrong("GET after logout", http.StatusUnauthorized)
	}
	return nil
}

// write sends a write under a fresh Idempotency-Key, by which whoever carries it may repeat it.
func (v *visitor) write(ctx context.Context, method, path, authorization, body string, want int) (reply, error) {
	header := http.Header{"Authorization": {authorization}, "Idempotency-Key": {rand.Text()}}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	sent := time.Now()
	got, err := v.ask(ctx, method, path, body, header)
	if err != nil {
		return got, err
	}
	if got.status != want {
		return got, got.wrong(method, want)
	}
	v.tally.wrote(sent, time.Now())
	if got.index == "" {
		return got, fmt.Errorf("%s answered a %s without Holdfast-Index", got.node, method)
	}
	v.index = got.index
	return got, nil
}

func (v *visitor) ask(ctx context.Context, method, path, body string, header http.Header) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, v.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header = header
	response, err := v.client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return reply{}, fmt.Errorf("%s: %w", method, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return reply{}, fmt.Errorf("%s: the answer broke off: %w", method, err)
	}
	return reply{status: response.StatusCode, index: response.Header.Get("Holdfast-Index"), node: response.Header.Get("Holdfast-Node"), body: answer}, nil
}

// wrong describes an answer that is not the one that was promised.
func (r reply) wrong(what string, want int) error {
	return fmt.Errorf("%s: %w; %d was promised", what, refusedBy("node "+printable(r.node), r.status, r.body), want)
}
