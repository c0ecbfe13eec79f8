package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// patchEvery is how often the followed session is changed.
const patchEvery = 100 * time.Millisecond

// events is what a follower of one session was told, in comparison with what happened.
type events struct {
	sent    uint64 // changes that were acknowledged
	arrived uint64 // in their order, each once
	opened  uint64 // how often the stream was opened
}

// whole says that nothing was missed, and that the stream had to be opened again, or it was never put to the test.
func (e events) whole() bool { return e.sent > 0 && e.arrived == e.sent && e.opened > 1 }

// A follower changes a session through the balancer, and follows its events there as a browser would: it comes back with
// the last id whenever the stream ends.
type follower struct {
	base, token string
	client      *http.Client
	stop        context.CancelFunc
	sender      sync.WaitGroup
	reader      sync.WaitGroup

	sent, arrived, opened atomic.Uint64
	sending, reading      error // read once sender and reader have ended
	finished              chan struct{}
}

// follow creates a session, changes it and follows it until end.
func follow(ctx context.Context, addr, key string) (*follower, error) {
	f := &follower{base: "http://" + addr, client: &http.Client{Transport: &http.Transport{}}, finished: make(chan struct{})}
	var created struct{ Token string }
	if err := f.ask(ctx, http.MethodPost, "/api/sessions/create/", "Bearer "+key, `{"user_id":"follower"}`, &created); err != nil {
		return nil, err
	}
	f.token = created.Token
	ctx, f.stop = context.WithCancel(ctx)
	opened := make(chan struct{})
	f.reader.Go(func() { f.reading = f.read(ctx, opened) })
	select {
	case <-opened:
	case <-ctx.Done():
	}
	f.sender.Go(func() { f.sending = f.send(ctx) })
	return f, nil
}

// send changes the session at a steady pace until it is told to finish.
func (f *follower) send(ctx context.Context) error {
	for {
		select {
		case <-f.finished:
			return nil
		default:
		}
		next := f.sent.Load() + 1
		body := fmt.Sprintf(`{"n":%d}`, next)
		if err := f.ask(ctx, http.MethodPatch, "/api/sessions/current/", "Session "+f.token, body, nil); err != nil {
			return fmt.Errorf("change %d of the followed session: %w", next, err)
		}
		f.sent.Store(next)
		if err := harness.Pause(ctx, patchEvery); err != nil {
			return err
		}
	}
}

// read follows the stream until ctx ends, and fails at the first event that is missing, twice, or out of order.
func (f *follower) read(ctx context.Context, opened chan<- struct{}) error {
	last := ""
	for ctx.Err() == nil {
		var err error
		if last, err = f.readOnce(ctx, last, opened); err != nil && ctx.Err() == nil {
			return err
		}
		_ = harness.Pause(ctx, patchEvery) // a browser waits as well
	}
	return nil
}

// readOnce reads one stream to its end, which is no error.
func (f *follower) readOnce(ctx context.Context, last string, opened chan<- struct{}) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+"/api/sessions/current/events/", nil)
	if err != nil {
		return last, err
	}
	request.Header.Set("Authorization", "Session "+f.token)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := f.client.Do(request)
	if err != nil {
		return last, fmt.Errorf("open the stream: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return last, fmt.Errorf("open the stream: status %d", response.StatusCode)
	}
	if f.opened.Add(1) == 1 {
		close(opened)
	}
	name := ""
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "id":
			last = value
		case field == "event":
			name = value
		case field == "data" && name != "updated":
			return last, fmt.Errorf("an event %q of a session that is only changed", name)
		case field == "data":
			if err := f.take(value); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

// take counts a change, whose version must be the next.
func (f *follower) take(data string) error {
	var event struct{ Version uint64 }
	if err := json.Unmarshal([]byte(data), &event); err != nil {
		return fmt.Errorf("event %.200s: %w", data, err)
	}
	// The session was created as version 1.
	if want := f.arrived.Load() + 2; event.Version != want {
		return fmt.Errorf("an event of version %d came, %d was next", event.Version, want)
	}
	f.arrived.Add(1)
	return nil
}

// end waits for what is on its way and says what arrived.
func (f *follower) end(ctx context.Context) (events, error) {
	close(f.finished)
	f.sender.Wait()
	late := harness.Poll(ctx, 15*time.Second, func() error {
		if f.arrived.Load() < f.sent.Load() {
			return errors.New("events are missing")
		}
		return nil
	})
	f.stop()
	f.reader.Wait()
	f.client.CloseIdleConnections()
	return events{f.sent.Load(), f.arrived.Load(), f.opened.Load()}, errors.Join(f.sending, f.reading, late)
}

// ask makes one request and expects that it succeeds.
func (f *follower) ask(ctx context.Context, method, path, authorization, body string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, f.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: status %d: %.300s", method, path, response.StatusCode, raw)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}
