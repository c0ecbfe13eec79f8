package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

const (
	// transferStall is how long a transfer may bring nothing once it has begun. It is above what the node allows itself.
	transferStall = time.Minute
	// transferDial bounds the connection, and what a node may take to say that it will have a body.
	transferDial = 10 * time.Second
)

// transferClient has no limit for the whole of a transfer, which takes as long as the state is large.
var transferClient = &http.Client{
	Transport: &http.Transport{
		Proxy: nil, DisableKeepAlives: true, ExpectContinueTimeout: transferDial, TLSHandshakeTimeout: transferDial,
		DialContext: (&net.Dialer{Timeout: transferDial}).DialContext,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// download asks the nodes in their order until one begins an answer of 200, and says which. The body is to be closed; it
// fails where it brings nothing for too long.
func (r *remote) download(ctx context.Context, path string) (*http.Response, string, error) {
	var faults []error
	for _, addr := range r.addrs {
		response, err := r.downloadFrom(ctx, addr, path)
		if err == nil {
			return response, addr, nil
		}
		faults = append(faults, err)
		refused, answered := errors.AsType[*refusal](err)
		if (answered && refused.status/100 != 5) || ctx.Err() != nil {
			return nil, "", err
		}
	}
	return nil, "", oneLine(faults)
}

func (r *remote) downloadFrom(ctx context.Context, addr, path string) (*http.Response, error) {
	base, err := baseURL(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+r.key)
	response, err := transferClient.Do(request)
	if err != nil {
		cancel()
		return nil, unanswered(addr, err)
	}
	body := &lively{ReadCloser: response.Body, cancel: cancel}
	body.timer = time.AfterFunc(transferStall, cancel)
	response.Body = body
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s broke off its answer: %w", addr, err)
	}
	return nil, refusedBy(addr, response.StatusCode, answer)
}

// unanswered drops the library's own text, which repeats the method and the address.
func unanswered(addr string, err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("%s does not answer: %w", addr, err)
}

// lively is a body that must go on coming.
type lively struct {
	io.ReadCloser
	timer  *time.Timer
	cancel context.CancelFunc
}

func (l *lively) Read(p []byte) (int, error) {
	l.timer.Reset(transferStall)
	return l.ReadCloser.Read(p)
}

func (l *lively) Close() error {
	l.timer.Stop()
	defer l.cancel()
	return l.ReadCloser.Close()
}

// byteBar shows on a terminal how many bytes of a transfer are through; elsewhere it is silent.
type byteBar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	done    chan struct{}
}

// newByteBar begins a bar. A total below 1 is not known.
func (p *program) newByteBar(name string, total int64) *byteBar {
	b := &byteBar{}
	if !isTerminal(p.stderr) {
		return b
	}
	b.writer = progress.NewWriter()
	b.writer.SetOutputWriter(p.stderr)
	b.writer.SetUpdateFrequency(200 * time.Millisecond)
	b.writer.SetStyle(progress.StyleBlocks)
	b.writer.Style().Visibility = progress.StyleVisibility{Percentage: total > 0, Tracker: true, Speed: true, Value: true, Time: true}
	b.tracker = &progress.Tracker{Message: name, Total: max(total, 0), Units: progress.UnitsBytes}
	b.writer.AppendTracker(b.tracker)
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		b.writer.Render()
	}()
	return b
}

// Write counts what passes.
func (b *byteBar) Write(p []byte) (int, error) {
	if b.tracker != nil {
		b.tracker.Increment(int64(len(p)))
	}
	return len(p), nil
}

func (b *byteBar) close() {
	if b.tracker == nil {
		return
	}
	b.tracker.MarkAsDone()
	b.writer.Stop()
	<-b.done
}
