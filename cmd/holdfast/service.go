package main

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/fsm"
)

// loginMargin is how much longer than its lifetime a login JWT may be believed: leeways, and clocks that differ.
const loginMargin = 10 * time.Minute

func (s *Server) openSessions() (err error) {
	s.sessions, err = fsm.Open(fsm.Config{
		Policy: s.cfg.policy(), LoginLifetime: s.cfg.JWTMaxLifetime + loginMargin, SweepInterval: s.cfg.SweepInterval,
		DiskLow: s.disk.low.Load, SealKeys: s.node.SealKeys, MaxStreams: s.cfg.MaxStreams, Rand: rand.Reader, Logger: s.log.With("component", "sessions"),
	}, s.node, s.machine)
	if err != nil {
		return err
	}
	s.opened("sessions", s.sessions.Close)
	return nil
}

func (s *Server) openAPI() error {
	cfg, err := s.cfg.api()
	if err != nil {
		return err
	}
	cfg.Keys, cfg.Logins, cfg.TLS = s.credentials.keys, s.credentials.logins, s.credentials.tls()
	cfg.Logger, cfg.Metrics = s.log.With("component", "api"), s.registry
	if s.tracing != nil {
		cfg.Tracer = s.tracing
	}
	cfg.MetricsHandler = promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
	cfg.Archives = s.newArchives()
	for _, c := range s.collectors() {
		if err := s.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	s.api, err = api.New(cfg, s.sessions, clusterView{node: s.node, disk: s.disk, public: s.machine.Public})
	return err
}
