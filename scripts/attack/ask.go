package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	askTimeout  = 15 * time.Second
	maxAnswer   = 16 << 20
	jsonType    = "application/json"
	currentPath = "/api/sessions/current/"
	createPath  = "/api/sessions/create/"
	listPath    = "/api/sessions/"
	refreshPath = "/api/sessions/refresh/"
	tokenCookie = "holdfast" // with --insecure-cookies
	indexCookie = "holdfast-index"
)

// A request is what a well-behaved HTTP client would send; the empty method is GET. A body is sent as JSON unless the
// headers, which are pairs, say otherwise.
type request struct {
	node               *node
	method, path, body string
	auth               string // Authorization
	headers            []string
}

// An answer is what came back, or why nothing did.
type answer struct {
	err    error
	status int
	header http.Header
	body   string
	count  int  // answers that came on the connection; 1 but for raw requests
	closed bool // the node ended the connection
	took   time.Duration
}

// oneShot is a client that follows nothing, keeps no connection and stores no cookies: each request is a stranger's.
var oneShot = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: anyCertificate()},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// anyCertificate is for nodes whose certificate this program has made itself.
func anyCertificate(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

// ask makes one request on a connection of its own.
func ask(ctx context.Context, r request) answer { return askBy(ctx, oneShot, r) }

func askBy(ctx context.Context, client *http.Client, r request) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	began := time.Now()
	sent, err := http.NewRequestWithContext(ctx, r.method, r.node.url(r.path), strings.NewReader(r.body))
	if err != nil {
		return answer{err: err}
	}
	if r.body != "" && !slices.Contains(r.headers, "Content-Type") {
		sent.Header.Set("Content-Type", jsonType)
	}
	if r.auth != "" {
		sent.Header.Set("Authorization", r.auth)
	}
	for i := 0; i+1 < len(r.headers); i += 2 {
		sent.Header.Add(r.headers[i], r.headers[i+1])
	}
	response, err := client.Do(sent)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer{
		err: err, status: response.StatusCode, header: response.Header, body: string(body), count: 1,
		closed: response.Close, took: time.Since(began),
	}
}

// code is the member "code" of a problem document.
func (a answer) code() string {
	text, _ := a.member("code").(string)
	return text
}

// member reads a member of a JSON body, or nil.
func (a answer) member(path ...string) any {
	var value any
	if json.Unmarshal([]byte(a.body), &value) != nil {
		return nil
	}
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func (a answer) text(path ...string) string {
	text, _ := a.member(path...).(string)
	return text
}

// String is the answer in a few words, for the table.
func (a answer) String() string {
	switch {
	case a.err != nil && errors.Is(a.err, context.DeadlineExceeded):
		return "no answer in time"
	case a.err != nil:
		var outer *url.Error
		if errors.As(a.err, &outer) { // it repeats the address, which may hold a token
			return "no answer: " + outer.Err.Error()
		}
		return "no answer: " + a.err.Error()
	case a.count == 0 && a.closed:
		return "connection closed"
	case a.count == 0:
		return "nothing"
	case a.count > 1:
		return fmt.Sprintf("%d answers, the first %d", a.count, a.status)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.code()))
}
