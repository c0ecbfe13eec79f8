package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const (
	defaultAddr = "127.0.0.1:8081"
	// askTimeout is above the node's own deadline for a request, so that its answer is heard.
	askTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 8 << 20
)

// remote is what a verb needs to ask running nodes.
type remote struct {
	addrs  []string
	key    string
	output string
}

func (r *remote) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&r.addrs, "addr", []string{defaultAddr}, "nodes, HOST:PORT or a URL, separated by commas; the next is asked when one does not answer")
	f.StringVar(&r.key, "key", "", "service or operator key; better in "+envName("key")+", where other users of this machine do not see it")
	f.StringVarP(&r.output, "output", "o", outputTable, "table or json")
}

func (r *remote) check() error {
	faults := []error{mustChooseOne("output", r.output, outputTable, outputJSON)}
	if len(r.addrs) == 0 {
		faults = append(faults, errors.New("addr: at least one node is needed"))
	}
	for _, addr := range r.addrs {
		if _, err := baseURL(addr); err != nil {
			faults = append(faults, err)
		}
	}
	if r.key == "" {
		faults = append(faults, fmt.Errorf("key is required (or %s)", envName("key")))
	}
	return errors.Join(faults...)
}

// baseURL makes "HOST:PORT" or a URL without a path into the beginning of one.
func baseURL(addr string) (string, error) {
	text := addr
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return "", fmt.Errorf("addr %q: want HOST:PORT, http://HOST:PORT or https://HOST[:PORT]", addr)
	}
	return u.Scheme + "://" + u.Host, nil
}

// refusal is a problem document (RFC 9457) that a node answered with.
type refusal struct {
	addr   string
	status int
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (r *refusal) Error() string {
	sentence := r.Detail
	if sentence == "" {
		sentence = r.Title
	}
	if sentence == "" {
		sentence = http.StatusText(r.status)
	}
	text := fmt.Sprintf("%s answers: %s (%d", r.addr, printable(strings.TrimSuffix(sentence, ".")), r.status)
	if r.Code != "" {
		text += " " + printable(r.Code)
	}
	return text + ")"
}

func refusedBy(addr string, status int, body []byte) error {
	refused := &refusal{addr: addr, status: status}
	_ = json.Unmarshal(body, refused) // what is no problem document still has its status
	return refused
}

// ask calls the nodes in their order until one answers, and decodes the answer's body into out. A node that cannot be
// reached, or that says that it cannot serve now, is passed over: no verb here does harm when it is done twice. Where the
// outcome on one node is not known, what the next says of a repetition may be of the first.
func (r *remote) ask(ctx context.Context, method, path string, out any) error {
	return r.send(ctx, method, path, nil, out)
}

// send is ask with a body, which is sent as JSON; in, and out for an answer without a body, may be nil.
func (r *remote) send(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var faults []error
	for _, addr := range r.addrs {
		err := r.sendOne(ctx, addr, method, path, body, out)
		refused, answered := errors.AsType[*refusal](err)
		if err == nil || (answered && refused.status != http.StatusServiceUnavailable) || ctx.Err() != nil {
			return err
		}
		faults = append(faults, err)
	}
	return oneLine(faults)
}

// oneLine joins errors with semicolons: a verb fails with one line.
func oneLine(faults []error) error {
	var texts []string
	for _, err := range faults {
		if err != nil {
			texts = append(texts, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	return errors.New(strings.Join(texts, "; "))
}

func (r *remote) sendOne(ctx context.Context, addr, method, path string, body []byte, out any) error {
	base, err := baseURL(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := askClient.Do(request)
	if err != nil {
		// The library's own text repeats the method and the address.
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return fmt.Errorf("%s does not answer: %w", addr, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s broke off its answer: %w", addr, err)
	}
	if response.StatusCode/100 != 2 {
		return refusedBy(addr, response.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(out); err != nil {
		return fmt.Errorf("%s answers something that is not JSON: %w", addr, err)
	}
	return nil
}

// readAtMost reads a body that must not be longer than limit.
func readAtMost(body io.Reader, limit int64) (io.Reader, error) {
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("an answer of more than %d bytes", limit)
	}
	return bytes.NewReader(raw), err
}

// askClient follows no redirect: the key is for the nodes that were named.
var askClient = &http.Client{
	Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
