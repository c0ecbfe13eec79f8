package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

func main() { os.Exit(run()) }

func run() int {
	cfg, err := parseFlags(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	report, err := roll(ctx, cfg)
	if report != nil {
		report.print(os.Stdout)
		err = errors.Join(err, report.verdict())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rolling:", err)
		return 1
	}
	return 0
}

// roll makes one run with processes of its own, and ends them. The report is there once the load has begun.
func roll(ctx context.Context, cfg config) (report *report, err error) {
	dir, err := os.MkdirTemp("", "holdfast-rolling-")
	if err != nil {
		return nil, err
	}
	var children harness.Children
	defer func() {
		children.KillAll()
		if cfg.keep {
			fmt.Fprintln(os.Stderr, "data and logs are in", dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	bin, err := filepath.Abs(cfg.bin)
	if err != nil {
		return nil, err
	}
	// The balancer alone is believed when it says whom it speaks for, as in a real installation.
	args := []string{"--trusted-proxies", "127.0.0.1/32", "--insecure-cookies"}
	if cfg.drainWait >= 0 {
		args = append(args, "--drain-wait", cfg.drainWait.String())
	}
	cluster, err := harness.StartCluster(ctx, &children, harness.ClusterConfig{Bin: bin, Dir: dir, Size: len(fileNodes), Args: args})
	if err != nil {
		return nil, err
	}
	balancer, err := startBalancer(ctx, &children, cfg, dir, places(cluster.Nodes))
	if err != nil {
		return nil, err
	}
	report, err = underLoad(ctx, cfg, cluster, balancer)
	if err != nil {
		err = errors.Join(err, cluster.LastWords())
	}
	return report, err
}

// maxRun ends a load that nobody ends.
const maxRun = 50 * time.Minute

// underLoad restarts the nodes while clients use them.
func underLoad(ctx context.Context, cfg config, cluster *harness.Cluster, balancer *balancer) (*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, ended := make(chan struct{}), make(chan struct{})
	r := &report{cfg: cfg, balancer: balancer.version}
	var loadErr error
	go func() {
		defer close(ended)
		r.load, loadErr = load.Run(ctx, load.Options{
			Addrs: []string{balancer.addr}, Profile: load.Life, Clients: cfg.clients, RatePerSecond: cfg.rate,
			Duration: maxRun, Stop: stop, Key: cluster.Service, Seed: uint64(time.Now().UnixNano()),
		})
	}()
	events, err := follow(ctx, balancer.addr, cluster.Service)
	if err == nil {
		r.restarts, err = rounds(ctx, cfg, cluster, balancer)
		var eventErr error
		r.events, eventErr = events.end(ctx)
		err = errors.Join(err, eventErr)
	}
	close(stop)
	<-ended
	for i, one := range r.restarts {
		r.restarts[i].pause = r.load.LongestWriteGap(one.from, one.to)
	}
	return r, errors.Join(err, loadErr)
}
