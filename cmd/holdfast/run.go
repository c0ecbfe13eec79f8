package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Run serves until ctx ends, and then drains: see drain.go. It returns nil after a drain, and the reason if this node
// found that it cannot go on. Close is still to be called.
func (s *Server) Run(ctx context.Context) error {
	err := s.run(ctx)
	if err == nil {
		err = s.node.Err() // while it drained
	}
	select {
	case also := <-s.broken:
		if isDamage(also) && !isDamage(err) {
			err = errors.Join(err, also)
		}
	default:
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) && s.disk.reserve.giveBack("a write found no room") {
		// What could not be written is still wanted, and the process that comes next will find room for it.
		s.log.Info("start this node again")
	}
	return fmt.Errorf("this node stopped itself: %w", s.condemn(s.examine(err)))
}

// run returns nil after a drain, or what this node cannot go on with.
func (s *Server) run(ctx context.Context) error {
	life, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() {
		if err := s.api.Serve(s.http); err != nil {
			s.fail(err)
		}
	})
	admin := s.serveAdmin(&running)
	defer admin.Close()
	running.Go(func() { s.sayReady(life) })
	running.Go(func() { s.tellAlive(life) })
	running.Go(func() { s.scrub(life) })
	if s.schedule != nil {
		running.Go(func() {
			if s.awaitReady(life) { // before, it does not know whose archives are its own
				s.schedule.run(life)
			}
		})
	}
	running.Go(func() { s.disk.watch(life, s.giveWay) })
	running.Go(func() { s.watchFlushes(life) })
	running.Go(func() { s.adviseCompaction(life) })

	var reason error
	select {
	case <-ctx.Done():
		s.drain()
		return nil
	case <-s.drainAsked:
		s.log.Info("an operator asked that this node drain")
		s.drain()
		return nil
	case reason = <-s.broken:
	case <-s.node.Done():
		reason = s.node.Err()
	}
	// No drain: what would be handed over or flushed may be the very thing that is broken. Requests under way are cut
	// off, which their callers see as "outcome unknown", and the other nodes carry on.
	stop, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.api.Shutdown(stop)
	return reason
}

// serveAdmin serves /metrics and pprof, if they have an address of their own.
func (s *Server) serveAdmin(running *sync.WaitGroup) *http.Server {
	server := &http.Server{Handler: s.api.AdminHandler(), ReadHeaderTimeout: 5 * time.Second}
	if s.admin != nil {
		running.Go(func() {
			if err := server.Serve(s.admin); !errors.Is(err, http.ErrServerClosed) {
				s.fail(fmt.Errorf("serve %s: %w", s.admin.Addr(), err))
			}
		})
	}
	return server
}

// sayReady logs the one line that says that this node may be sent requests, and tells systemd; then it logs when that
// changes.
func (s *Server) sayReady(ctx context.Context) {
	if !s.awaitReady(ctx) {
		return
	}
	attributes := []any{
		"node_id", s.cfg.NodeID, "http_addr", s.Addr(), "cluster_addr", s.cfg.ClusterAddr, "gossip_addr", s.cfg.GossipAddr,
		"version", versionText(),
	}
	if s.admin != nil {
		attributes = append(attributes, "admin_addr", s.admin.Addr().String())
	}
	s.log.Info("ready", attributes...)
	s.notify(daemon.SdNotifyReady)
	for was := error(nil); pause(ctx, readyCheckPause); {
		now := s.node.Ready()
		switch {
		case was == nil && now != nil:
			s.log.Warn("not ready", "reason", oneLine([]error{now}).Error())
		case was != nil && now == nil:
			s.log.Info("ready again")
		}
		was = now
	}
}

const readyCheckPause = 250 * time.Millisecond

// giveWay hands leadership to a node whose disk has room. Where none has, this node goes on leading: logouts must pass.
func (s *Server) giveWay(ctx context.Context) {
	if !s.node.Leading() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if err := s.node.TransferLeadership(ctx); err != nil {
		s.log.Warn("leadership could not be handed over", "error", err)
	}
}

// notify tells systemd, where it asked to be told.
func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd could not be told", "state", state, "error", err)
	}
}
