package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/storage"
)

// Server is one node: all its parts, opened in the order in which they depend on each other.
type Server struct {
	cfg         Config
	log         *slog.Logger
	registry    *prometheus.Registry
	credentials *credentials
	http, admin net.Listener // admin is nil without --admin-addr
	disk        *disk
	table       *storage.Table
	machine     *fsm.Machine
	node        *cluster.Node
	sessions    *fsm.Sessions
	schedule    *schedule // nil without --snapshot-schedule
	api         *api.Server
	flushes     prometheus.Histogram
	scrubbed    scrubRecord
	tracing     *tracing // nil without --trace-endpoint

	// drainAsked is closed when an operator asks through another node that this one drain.
	drainAsked chan struct{}

	scrubAsked chan struct{} // an operator wants everything reread now
	broken     chan error    // what a part found that this node cannot go on with
	closers    []closer      // of what is open, in the order of opening
}

// closer ends one part.
type closer struct {
	name  string
	close func() error
}

// Open opens a node without serving anybody yet; Run does. An error leaves nothing open. The registry must be this
// server's own; series of libraries that report to the whole process are the caller's business.
func Open(cfg Config, log *slog.Logger, registry *prometheus.Registry) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, registry: registry, broken: make(chan error, 1), scrubAsked: make(chan struct{}, 1), drainAsked: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(s.condemn(err), s.Close())
		}
	}()
	// What is cheap to find out comes first: a port in use or a missing file should cost no data directory.
	for _, open := range []func() error{
		s.openListeners, s.openCredentials, s.openTracing, s.openDataDir, s.openTable, s.openMachine, s.openNode, s.openSessions, s.openSchedule, s.openAPI,
	} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// opened has Close end a part that was opened.
func (s *Server) opened(name string, close func() error) {
	s.closers = append(s.closers, closer{name, close})
}

// Close ends every part, the last opened first. What follows a part that failed to close is closed all the same.
func (s *Server) Close() error {
	var faults []error
	for len(s.closers) > 0 {
		last := s.closers[len(s.closers)-1]
		s.closers = s.closers[:len(s.closers)-1]
		if err := last.close(); err != nil && !errors.Is(err, net.ErrClosed) {
			faults = append(faults, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return errors.Join(faults...)
}

// Addr is where the HTTP surface listens.
func (s *Server) Addr() string { return s.http.Addr().String() }

func (s *Server) openListeners() (err error) {
	// Multipath TCP, which Go would choose, has no filters, and a drain needs one: see the last call of api.
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	if s.http, err = plain.Listen(context.Background(), "tcp", s.cfg.HTTPAddr); err != nil {
		return fmt.Errorf("http-addr: %w", err)
	}
	s.opened("http-addr", s.http.Close)
	if s.cfg.AdminAddr == "" {
		return nil
	}
	if s.admin, err = net.Listen("tcp", s.cfg.AdminAddr); err != nil {
		return fmt.Errorf("admin-addr: %w", err)
	}
	s.opened("admin-addr", s.admin.Close)
	return nil
}

func (s *Server) openCredentials() (err error) {
	if s.credentials, err = openCredentials(s.cfg, s.log); err != nil {
		return err
	}
	s.opened("credentials", s.credentials.close)
	return nil
}

func (s *Server) openTable() (err error) {
	s.flushes = newFlushHistogram()
	s.disk = &disk{dir: s.cfg.DataDir, mark: s.cfg.DiskLowBytes, log: s.log, free: freeBytes}
	s.disk.reserve = newReserve(s.cfg.DataDir, s.cfg.DiskReserveBytes, s.cfg.DiskLowBytes, s.log)
	s.disk.open()
	s.table, err = storage.Open(s.cfg.tablePath(), storage.Options{
		Logger: s.log.With("component", "storage"), OnError: s.fail,
		OnFlush: func(took time.Duration, _ int64) { s.flushes.Observe(took.Seconds()) },
	})
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	s.opened("table", s.table.Close)
	return nil
}

func (s *Server) openMachine() (err error) {
	s.machine, err = fsm.OpenMachine(s.table)
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	return nil
}

func (s *Server) openNode() (err error) {
	cfg := s.cfg.cluster()
	cfg.HTTPAddr = s.cfg.reachableHTTP(s.http.Addr())
	cfg.KeysDigest, cfg.Disk, cfg.OnDrain = s.credentials.digest, s.diskRoom, func() { close(s.drainAsked) }
	cfg.PolicyDigest = s.cfg.policyDigest()
	cfg.Logger, cfg.Metrics, cfg.Walk = s.log, s.registry, walkFile
	if s.tracing != nil {
		cfg.Tracer = clusterTracing{s.tracing.tracer}
	}
	if s.node, err = cluster.Open(cfg, s.machine); err != nil {
		return err
	}
	s.opened("cluster", s.node.Close)
	return nil
}

// fail is called by a part that found something that this node cannot go on with. Only the first reason counts.
func (s *Server) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// awaitReady waits until this node may serve, which is when a load balancer would see it.
func (s *Server) awaitReady(ctx context.Context) bool {
	for s.node.Ready() != nil {
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

// diskRoom is what the others are told of the data directory's disk, zeros where the system does not say.
func (s *Server) diskRoom() (free, size int64) {
	free, size, _ = diskSpace(s.cfg.DataDir)
	return free, size
}
