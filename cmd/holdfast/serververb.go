package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/holdfastdb/holdfast/cluster"
)

func (p *program) serverVerb() *cobra.Command {
	cfg := &Config{}
	return p.command(verb{
		use: "server", short: "run one node",
		long: "Runs one node until SIGTERM or SIGINT, which drain it; a second signal ends it at once. SIGHUP reads the keys file,\n" +
			"the login key sets, the certificate and the cluster keys again; SIGUSR1 rereads and checks all that the node keeps. Every flag is also HOLDFAST_… in the environment (--node-id is\n" +
			"HOLDFAST_NODE_ID) and a key of the YAML file that --config names; flags win over the environment, it over the file.",
		flags: cfg.flags, check: func() error { return cfg.Validate() },
		run: func(ctx context.Context, _ []string) error { return p.serve(ctx, *cfg) },
	})
}

// serve runs a node. What goes wrong is one line of the log: from here on, stderr is read by machines.
func (p *program) serve(ctx context.Context, cfg Config) error {
	log, err := cfg.logger(p.stderr)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	err = cluster.InstallMetrics(registry)
	var s *Server
	if err == nil {
		s, err = Open(cfg, log, registry)
	}
	if err == nil {
		stopReloading, stopScrubs := s.reloadOnHangup(), s.scrubOnSignal()
		err = s.Run(ctx)
		stopReloading()
		stopScrubs()
		err = errors.Join(err, s.closeInTime())
	}
	if err != nil {
		log.Error("failed", "error", oneLine([]error{err}).Error())
		return errReported
	}
	log.Info("stopped")
	return nil
}

// closeInTime is Close for a process that ends anyway: a disk that hangs must not keep it, as nothing that was
// acknowledged depends on what is still unwritten.
func (s *Server) closeInTime() error {
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	limit := time.NewTimer(2 * s.cfg.DiskTimeout)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("closing took longer than %s and was given up", 2*s.cfg.DiskTimeout)
	}
}

// reload reads again what an operator may change while the server runs. What is not good changes nothing, and keeps
// nothing else from being read.
func (s *Server) reload() {
	s.credentials.reload()
	if err := s.node.ReloadKeys(); err != nil {
		s.log.Error("reload: the cluster keys from before stay", "error", err)
	}
}

// reloadOnHangup reads the credentials again at each SIGHUP, until the returned function is called.
func (s *Server) reloadOnHangup() (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var reloading sync.WaitGroup
	reloading.Go(func() {
		for range hangups {
			s.reload()
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		reloading.Wait()
	}
}
