package api

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// Tracer makes the spans of requests.
type Tracer interface {
	// Begin begins the span of a request that came in at began. Traceparent is what the caller sent of W3C Trace Context,
	// "" if it sent none; it may be anything. Whoever works on the request gets the context that Begin returns, and end is
	// called once. Where the request is not traced end is nil.
	Begin(ctx context.Context, began time.Time, traceparent string) (_ context.Context, end func(Traced))
}

// Traced is all that a span says of a request: nothing that its caller could choose, as callers put tokens anywhere.
type Traced struct {
	Method    string // as in the metrics
	Route     string // the pattern, never the path
	Status    int
	Problem   session.Code // "" if the answer is none
	RequestID string
	Streamed  bool // it lasted as long as somebody listened
}

const headerTraceparent = "Traceparent"

// trace begins the span of a request, once its route is known: health pages, which are asked for all the time, have
// none. The caller's tracestate is not read: it may hold anything, and would travel on.
func (s *Server) trace(c *call) {
	if c.route.probe {
		return
	}
	traceparent := ""
	if sent := c.r.Header[headerTraceparent]; len(sent) == 1 {
		traceparent = sent[0]
	}
	c.ctx.parent, c.endSpan = s.cfg.Tracer.Begin(c.ctx.parent, c.began, traceparent)
}

func (c *call) traced() Traced {
	labels := c.route.labels()
	method := labels[0]
	if len(labels) > 1 && c.r.Method == labels[1] {
		method = labels[1]
	}
	return Traced{
		Method: method, Route: c.routeName(), Status: c.status, Problem: c.code, RequestID: c.requestID(), Streamed: c.streamed,
	}
}
