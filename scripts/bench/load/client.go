package load

import (
	"context"
	"errors"
	"net"
	"time"
)

// How long a client waits before it connects again after it could not, at first and at most.
const (
	backoffFirst = 5 * time.Millisecond
	backoffMost  = 100 * time.Millisecond
)

// A client makes one request after the other until its run is over.
type client struct {
	run        *run
	writer     writer
	line       line
	tally      *tally
	home       int    // the node that it prefers
	node       int    // the node that it sits on
	generation uint64 // of Targets, when it chose the node
	lost       bool   // it had a connection, and lost it
	backoff    time.Duration
	due        time.Duration // when the next request is due, with a rate
	interval   time.Duration // between two due times, 0 without a rate
}

func (c *client) loop(ctx context.Context) {
	defer context.AfterFunc(ctx, c.line.interrupt)()
	c.node, c.generation = c.run.targets.sit(c.home)
	defer func() {
		c.line.close()
		c.run.targets.leave(c.node)
	}()
	for !c.run.stopped.Load() {
		if !c.pace(ctx) {
			return
		}
		if c.generation != c.run.targets.generation.Load() {
			c.move()
		}
		counted := c.run.now() >= c.run.warmUp
		if counted && !c.run.claim() {
			return
		}
		if !c.once(ctx, counted) {
			return
		}
	}
}

// once makes one request and counts what comes of it. It answers false when the run was interrupted.
func (c *client) once(ctx context.Context, counted bool) bool {
	k := c.writer.choose()
	if c.line.conn == nil {
		start := c.begin()
		if err := c.line.open(ctx, c.run.targets.addrs[c.node]); err != nil {
			return c.broken(ctx, k, start, counted, err, "connect_failed")
		}
		if c.lost {
			c.lost = false
			c.tally.reconnects++
		}
	}
	var left time.Duration
	if k == create && !c.run.options.ExpireAt.IsZero() {
		left = time.Until(c.run.options.ExpireAt)
	}
	request := c.writer.request(k, c.run.targets.addrs[c.node], c.run.sequence(k), left)
	start := c.begin()
	answer, err := c.line.exchange(request, start)
	if err != nil {
		return c.broken(ctx, k, start, counted, err, "connection_lost")
	}
	c.backoff = 0
	c.answered(k, start, counted, answer)
	if answer.close {
		c.line.close()
	}
	return true
}

// begin is the time from which a request's latency counts: now, or its due time if its predecessor ended after that.
func (c *client) begin() time.Duration {
	now := c.run.now()
	if c.interval > 0 && c.due < now {
		return c.due
	}
	return now
}

// answered counts an answer of whatever status.
func (c *client) answered(k kind, start time.Duration, counted bool, answer response) {
	now := c.run.now()
	code, detail := "", ""
	ok := answer.status >= 200 && answer.status < 300
	switch {
	case !ok:
		found, _ := stringField(answer.body, `"code"`)
		why, _ := stringField(answer.body, `"detail"`)
		code, detail = string(found), string(why)
	case k == create:
		if err := c.created(answer); err != nil {
			ok, code, detail = false, "malformed_response", err.Error()
		}
	case k == logout:
		c.writer.ended(k, nil)
	}
	if !ok {
		c.writer.ended(k, nil)
		c.tally.failed.Add(1)
		if counted {
			c.tally.failure(k, now-start, now-c.run.warmUp, answer.status, code, detail)
		}
		return
	}
	c.tally.done.Add(1)
	c.run.pulses[class(k)].mark(now)
	if counted {
		c.tally.success(k, now-start, now-c.run.warmUp)
	}
}

// created keeps the token of a new session, if anybody wants it.
func (c *client) created(answer response) error {
	token, _ := stringField(answer.body, `"token"`)
	switch {
	case c.run.options.Profile == Life:
		if err := checkToken(token); err != nil {
			return err
		}
		c.writer.ended(create, token)
	case c.run.options.Tokens != nil:
		return c.run.options.Tokens.add(token)
	}
	return nil
}

// broken counts a request that got no answer, drops the connection and turns to the next node.
func (c *client) broken(ctx context.Context, k kind, start time.Duration, counted bool, err error, code string) bool {
	c.line.close()
	if ctx.Err() != nil { // what ended it is the interruption, or cannot be told from it
		if counted {
			c.tally.abandoned++
		}
		return false
	}
	var netErr net.Error
	switch {
	case errors.Is(err, errMalformed):
		code = "malformed_response"
	case errors.As(err, &netErr) && netErr.Timeout():
		code = "timeout"
	}
	now := c.run.now()
	c.writer.ended(k, nil)
	c.tally.failed.Add(1)
	if counted {
		c.tally.failure(k, now-start, now-c.run.warmUp, 0, code, err.Error())
	}
	c.lost = true
	c.home++
	c.move()
	if code == "connect_failed" {
		c.backoff = min(max(2*c.backoff, backoffFirst), backoffMost)
		return c.wait(ctx, c.backoff)
	}
	return true
}

// move goes to the node that the client prefers among those that are not skipped.
func (c *client) move() {
	node, generation := c.run.targets.sit(c.home)
	if node != c.node {
		c.line.close()
	}
	c.run.targets.leave(c.node)
	c.node, c.generation = node, generation
}

// pace waits for the next due time. A client that is late catches up: what it owes stays due.
func (c *client) pace(ctx context.Context) bool {
	if c.interval == 0 {
		return true
	}
	c.due += c.interval
	early := c.due - c.run.now()
	return early <= 0 || c.wait(ctx, early) && !c.run.stopped.Load()
}

func (c *client) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-c.run.stopping:
		return false
	}
}
