package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	grace      = 30 * time.Second // how long a token must be old to be rotated, and works on afterwards
	graceSlack = 2 * time.Second  // for the log's clock, which is a majority's
)

// rotationRows is the life of a token that is rotated away and shown again too late. It waits for the grace twice.
func (a *attack) rotationRows(ctx context.Context) ([]row, error) {
	young, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	stolen := row{
		input: "a used-up token after the grace of its rotation", want: "401, its successor too, suspicious, revoked",
		long: true, alone: true, try: a.usedUp,
	}
	return []row{
		steps("a rotation within 30 s of the create", "200 without a token: extended, not rotated", func(ctx context.Context) verdict {
			got, err := a.rotate(ctx, young.token)
			switch {
			case err != nil:
				return wrong("%v", err)
			case got != "":
				return wrong("it was rotated")
			}
			return right("200, no token")
		}),
		stolen,
	}, nil
}

// rotate asks for a new token; empty means that the old one is kept. Another group may have killed a node: then the next
// one is asked.
func (a *attack) rotate(ctx context.Context, token string) (string, error) {
	var last error
	for _, n := range a.cluster.live() {
		got, err := mustAsk(ctx, http.StatusOK, request{node: n, method: "POST", path: refreshPath, body: `{"rotate":true}`, auth: "Session " + token})
		if err == nil {
			a.secrets.addTokens(got)
			return got.text("token"), nil
		}
		last = err
	}
	return "", last
}

func (a *attack) usedUp(ctx context.Context) verdict {
	s, err := a.newSession(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	if err := harness.Pause(ctx, grace+graceSlack); err != nil {
		return wrong("%v", err)
	}
	next, err := a.rotate(ctx, s.token)
	if err != nil || next == "" || next == s.token {
		return wrong("the rotation gave no new token: %v", err)
	}
	if again, err := a.rotate(ctx, s.token); err != nil || again != next {
		return wrong("a second racer did not get the same successor: %v", err)
	}
	successor := owned{token: next, id: s.id, user: s.user}
	if err := errors.Join(a.lives(ctx, s), a.lives(ctx, successor)); err != nil {
		return wrong("within the grace: %v", err)
	}
	if err := harness.Pause(ctx, grace+graceSlack); err != nil {
		return wrong("%v", err)
	}
	if err := a.lives(ctx, successor); err != nil {
		return wrong("before the theft: %v", err)
	}
	// The thief's token is refused at once; that it also ends the session goes through the log.
	thief := ask(ctx, request{node: a.cluster.live()[0], path: currentPath, auth: s.auth()})
	if fault := sessionInvalid.check(thief); fault != "" {
		return wrong("the used-up token: %s", fault)
	}
	if err := harness.Poll(ctx, 6*time.Second, func() error { return a.dead(ctx, next) }); err != nil {
		return wrong("the successor: %v", err)
	}
	types, err := a.eventTypes(ctx, s.user)
	if err != nil || types["suspicious"] == 0 || types["revoked"] == 0 {
		return wrong("the events are %v: %v", types, err)
	}
	return right("401, 401, events %v", types)
}
