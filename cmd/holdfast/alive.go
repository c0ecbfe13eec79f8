package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellAlive tells systemd that this node is alive, for as long as it is and as often as WatchdogSec= asks for. Without
// that it does nothing.
func (s *Server) tellAlive(ctx context.Context) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("systemd's watchdog is asked for in a way that is not understood", "error", err)
	}
	if within <= 0 {
		return
	}
	feed(ctx, within, s.prove, func(err error) {
		if err != nil {
			s.log.Error("this node is not alive, and does not tell systemd that it is", "error", err)
			return
		}
		s.notify(daemon.SdNotifyWatchdog)
	})
}

// feed proves life three times within each interval and passes on what came of it. A proof that does not come back is
// neither passed on nor begun anew: silence is what the watchdog waits for. It then outlives feed, in a process that is
// about to be ended.
func feed(ctx context.Context, within time.Duration, prove func() error, passOn func(error)) {
	proofs := make(chan error, 1)
	for {
		go func() { proofs <- prove() }()
		select {
		case err := <-proofs:
			passOn(err)
		case <-ctx.Done():
			return
		}
		if !pause(ctx, within/3) {
			return
		}
	}
}

// prove goes the way of a request and takes the locks that every request and every command needs: of the handlers, of
// the table, of the cluster's state. What the others do is not asked for. A node that has lost the quorum is alive, and
// ending it would take from the cluster the vote that it waits for.
func (s *Server) prove() error {
	request, err := http.NewRequest(http.MethodGet, "/livez", nil)
	if err != nil {
		return err
	}
	answer := statusWriter{header: make(http.Header)}
	s.api.Handler().ServeHTTP(&answer, request)
	if answer.status != http.StatusOK {
		return fmt.Errorf("/livez: status %d", answer.status)
	}
	if _, _, err := s.table.Get([]byte("watchdog")); err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	_ = s.node.Checks() // what they say is for /readyz; here they must come back
	return nil
}

// statusWriter keeps nothing of an answer but its status.
type statusWriter struct {
	header http.Header
	status int
}

func (w *statusWriter) Header() http.Header                { return w.header }
func (w *statusWriter) WriteHeader(status int)             { w.status = status }
func (w *statusWriter) Write(body []byte) (n int, _ error) { return len(body), nil }
