package api

import (
	"context"
	"errors"
	"net"
	"time"
)

// lastCallTime is how long connections that are being made when a shutdown begins have to arrive: some round trips
// within a data centre. A client that asks for a connection within this time gets no answer, asks again and is refused.
const lastCallTime = 50 * time.Millisecond

// lastCall has the kernel open no new connections, and gives those that it has opened the time to be accepted.
//
// Closing a listener resets the connections that wait to be accepted. Their clients have sent a request by then and can
// not know whether it was read, so a balancer must not send it again unless twice is like once. A connection that is
// refused before it exists is another thing: nothing was sent, any request may go to another node. This is what lets a
// balancer without health checks take a node's restart without a failed write.
func (s *Server) lastCall(ctx context.Context) {
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	closing := false
	for _, ln := range listeners {
		switch err := openNoMore(ln.Listener); {
		case err == nil:
			closing = true
		case !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, net.ErrClosed):
			s.log.Warn("connections that wait to be accepted may be reset", "error", err)
		}
	}
	if !closing {
		return
	}
	timer := time.NewTimer(lastCallTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
