package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// streamSilence is how long a stream may say nothing: a node sends a comment every 15 seconds.
	streamSilence = 45 * time.Second
	// maxStreamLine bounds one line of a stream.
	maxStreamLine = 64 << 10
	// The pause before the next node is asked doubles from the first to the last, while no event comes.
	firstStreamPause = 100 * time.Millisecond
	lastStreamPause  = 5 * time.Second
)

// followEvents goes from node to node, and on from where it stopped, until ctx ends. It gives up if no node takes the
// request at all: then it was a bad one.
func (p *program) followEvents(ctx context.Context, t *tail) error {
	last, wait := t.since, firstStreamPause
	for turn := 0; ctx.Err() == nil; turn++ {
		before := last
		err := p.followOne(ctx, t, t.addrs[turn%len(t.addrs)], &last)
		if refused, ok := errors.AsType[*refusal](err); ok && refused.status < http.StatusInternalServerError && refused.status != http.StatusTooManyRequests {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if last != before {
			wait = firstStreamPause
		}
		if err != nil {
			fmt.Fprintf(p.stderr, "holdfast: %v: asking the next node\n", err)
		}
		pause(ctx, time.Duration(float64(wait)*(0.5+rand.Float64())))
		wait = min(2*wait, lastStreamPause)
	}
	return nil
}

// followOne prints one node's stream until it ends, and keeps the last id.
func (p *program) followOne(ctx context.Context, t *tail, addr string, last *string) error {
	base, err := baseURL(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(fmt.Errorf("%s says nothing", addr)) })
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+t.path(nil), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+t.key)
	request.Header.Set("Accept", "text/event-stream")
	if *last != "" {
		request.Header.Set("Last-Event-ID", *last)
	}
	response, err := askClient.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return fmt.Errorf("%s does not answer: %w", addr, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the status says enough
		return refusedBy(addr, response.StatusCode, body)
	}
	var id, data string // of the event that is being read
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxStreamLine)
	for lines.Scan() {
		silence.Reset(streamSilence)
		// An event counts at the empty line that ends it: one that was broken off comes again.
		switch field, value, _ := strings.Cut(lines.Text(), ": "); {
		case field == "id":
			id = value
		case field == "data":
			data = value
		case lines.Text() == "" && data != "":
			if _, err := p.printEvent(t.output, []byte(data)); err != nil {
				return err
			}
			fallthrough
		case lines.Text() == "" && id != "":
			*last, id, data = id, "", ""
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return lines.Err()
}
