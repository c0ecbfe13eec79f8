package api

import (
	"context"
	"errors"
	"net"
	"time"
)

const (
	// lastCallTime is how long connections that are being made when a shutdown begins have to arrive: some round trips
	// within a data centre. A client that asks for a connection within this time gets no answer, asks again and is refused.
	lastCallTime = 50 * time.Millisecond
	// firstRequestTime is how long a connection that was made has to bring its request.
	firstRequestTime = time.Second
	// lastAnswersPause is the time between two looks at what is still to be answered.
	lastAnswersPause = 2 * time.Millisecond
)

// lastCall ends the making of connections so that each one that was made is answered:
//
//	the kernel makes no more ─ those that it has made are accepted ─ the listeners are closed ─ all requests are answered
//
// Closing a listener resets the connections that wait to be accepted, and net/http drops requests that it reads once its
// own shutdown has begun. Their clients have sent a request and can not know whether it was read, so a balancer must not
// send it again unless twice is like once. A connection that is refused before it exists is another thing: nothing was
// sent, any request may go to another node. This is what lets a balancer without health checks take a node's restart
// without a failed write.
func (s *Server) lastCall(ctx context.Context) {
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	for _, ln := range listeners {
		if err := openNoMore(ln.Listener); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("connections that wait to be accepted may be reset", "error", err)
		}
	}
	pauseFor(ctx, lastCallTime)
	s.stopping.Store(true)
	for _, ln := range listeners {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("a listener could not be closed", "error", err)
		}
	}
	for _, ln := range listeners {
		for ln.busy() && pauseFor(ctx, lastAnswersPause) {
		}
	}
}

// pauseFor waits, and says no if ctx ends first.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
