package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// drain is the way out that loses no request:
//
//	/readyz says 503 ─ drain-wait: the balancer turns elsewhere ─ leadership handed over, gossip left ─ requests under
//	way finish ─ (Close) the log closed, the table flushed
//
// Leadership goes before the requests: those that wait for a leader then find the new one. Each step is bounded, and a
// step that fails does not keep the next from being taken: the store survives kill -9, so it survives a bad drain.
func (s *Server) drain() {
	s.log.Info("draining", "wait", s.cfg.DrainWait.String())
	s.notify(daemon.SdNotifyStopping)
	s.node.BeginDrain()
	s.api.Drain()
	s.waitForBalancer()

	if err := s.bounded(s.node.Drain); err != nil {
		s.log.Warn("leadership could not be handed over: the others elect a leader", "error", err)
	}
	if err := s.bounded(s.api.Shutdown); err != nil {
		s.log.Warn("requests were cut off", "error", err)
	}
}

// waitForBalancer goes on serving for a while, unless the node stops itself meanwhile.
func (s *Server) waitForBalancer() {
	timer := time.NewTimer(s.cfg.DrainWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.node.Done():
	}
}

func (s *Server) bounded(step func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.cfg.DrainTimeout,
		fmt.Errorf("drain-timeout %s is over", s.cfg.DrainTimeout))
	defer cancel()
	return step(ctx)
}
