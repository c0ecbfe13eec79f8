package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// scrubRest lies between two pieces of a scrub, so that requests do not feel it.
	scrubRest = 20 * time.Millisecond
	// minScrubInterval keeps a node from doing nothing else.
	minScrubInterval = time.Minute
)

// scrub rereads what this node keeps, again and again, and at once when an operator asks: neither bbolt nor a disk
// notices a flipped bit by itself. What it finds wrong ends this node: the others have the state.
func (s *Server) scrub(ctx context.Context) {
	interval := time.NewTicker(s.cfg.ScrubInterval)
	defer interval.Stop()
	for {
		rest := scrubRest
		select {
		case <-ctx.Done():
			return
		case <-interval.C:
		case <-s.scrubAsked:
			rest = 0 // somebody waits for it
		}
		began := time.Now()
		s.scrubbed.begin(began)
		entries, err := s.scrubOnce(ctx, func() { pause(ctx, rest) })
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.scrubbed.failures.Add(1)
			s.fail(err)
			return
		}
		s.scrubbed.succeed(time.Now())
		s.log.Info("the table and the log were reread and are whole", "entries", entries, "took", time.Since(began).String())
	}
}

// scrubOnce rereads the log, which is the shorter one, and the table.
func (s *Server) scrubOnce(ctx context.Context, rest func()) (entries int, err error) {
	if entries, err = s.node.ScrubLog(ctx, rest); err != nil {
		return entries, fmt.Errorf("scrub the log: %w", err)
	}
	return entries, s.machine.Scrub(ctx, rest)
}

// scrubNow asks for a scrub, unless one is asked for already.
func (s *Server) scrubNow() {
	select {
	case s.scrubAsked <- struct{}{}:
	default:
	}
}
