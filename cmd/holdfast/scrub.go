package main

import (
	"context"
	"time"
)

const (
	// scrubEvery is how often a node rereads all that it keeps: neither bbolt nor a disk notices a flipped bit by itself.
	scrubEvery = 6 * time.Hour
	// scrubRest lies between two pieces of a scrub, so that requests do not feel it.
	scrubRest = 20 * time.Millisecond
)

// scrub rereads the table again and again. What it finds wrong ends this node: the others have the state.
func (s *Server) scrub(ctx context.Context) {
	for pause(ctx, scrubEvery) {
		began := time.Now()
		s.scrubbed.begin(began)
		err := s.machine.Scrub(ctx, func() { pause(ctx, scrubRest) })
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.scrubbed.failures.Add(1)
			s.fail(err)
			return
		}
		s.scrubbed.succeed(time.Now())
		s.log.Info("the table was reread and is whole", "took", time.Since(began).String())
	}
}
