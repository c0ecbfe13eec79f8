package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultDevDir = ".holdfast-dev"
	// devPort is the balancer's; the nodes follow it. Another choice shifts every port by the same amount.
	devPort        = 8080
	devClusterPort = 7000
	devGossipPort  = 7100
	maxDevNodes    = 9

	devReadyTime    = time.Minute      // for the nodes to become a cluster
	devStopTime     = 15 * time.Second // for a node to drain before it is killed
	devRestartPause = 5 * time.Second  // before a dead node is started again, so that one sees the cluster without it
)

// devFlags are the flags of dev.
type devFlags struct {
	nodes                int
	dataDir              string
	port                 int
	chaos                bool
	chaosFor, chaosEvery time.Duration
	chaosRate            int
}

func (d *devFlags) check() error {
	var faults []error
	if d.nodes < 1 || d.nodes > maxDevNodes {
		faults = append(faults, fmt.Errorf("nodes %d: want 1 to %d", d.nodes, maxDevNodes))
	}
	if d.chaos && d.nodes < 3 {
		faults = append(faults, errors.New("chaos needs at least 3 nodes: fewer survive the loss of none"))
	}
	if d.chaosFor < 0 || d.chaosFor > 0 && !d.chaos {
		faults = append(faults, errors.New("chaos-for: want a time above 0, with --chaos"))
	}
	if d.chaosEvery < time.Second {
		faults = append(faults, fmt.Errorf("chaos-every %s: want at least 1s", d.chaosEvery))
	}
	if d.chaosRate < 1 || d.chaosRate > maxChaosRate {
		faults = append(faults, fmt.Errorf("chaos-rate %d: want 1 to %d", d.chaosRate, maxChaosRate))
	}
	if low := devPort - devClusterPort + 1; d.port < low || d.port > 65535-maxDevNodes {
		faults = append(faults, fmt.Errorf("port %d: want %d to %d", d.port, low, 65535-maxDevNodes))
	}
	return errors.Join(append(faults, required("data-dir", d.dataDir))...)
}

func (p *program) devVerb() *cobra.Command {
	d := &devFlags{}
	cmd := p.command(verb{
		use: "dev", short: "run a whole cluster on this machine, and say how to use it",
		long: "Starts real servers on loopback, 127.0.0.1:8081 and up, and a small balancer on 127.0.0.1:8080. Keys and a login\n" +
			"issuer are made once and kept in the data directory. Not for production: all of it is one machine.",
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&d.nodes, "nodes", 3, "how many servers")
			f.StringVar(&d.dataDir, "data-dir", defaultDevDir, "where keys, logs and data are kept")
			f.IntVar(&d.port, "port", devPort, "the balancer's port; the servers take the ones after it, and every other port shifts with it")
			f.BoolVar(&d.chaos, "chaos", false, "kill -9 the leader again and again under a small load, and count what fails; ends with 1 if anything did")
			f.DurationVar(&d.chaosFor, "chaos-for", 0, "end after so long; 0 goes on until it is interrupted")
			f.DurationVar(&d.chaosEvery, "chaos-every", chaosEvery, "from one kill to the next; all servers are ready again before it")
			f.IntVar(&d.chaosRate, "chaos-rate", chaosRate, "requests a second meanwhile")
		},
		check: d.check,
		run:   func(ctx context.Context, _ []string) error { return p.dev(ctx, d) },
	})
	cmd.AddCommand(p.devLoginVerb())
	return cmd
}

// devCluster is one run of dev.
type devCluster struct {
	flags    *devFlags
	files    devFiles
	nodes    []*devNode
	balancer *balancer
	term     *terminal
}

// dev runs until it is interrupted, then stops every server and waits for it.
func (p *program) dev(ctx context.Context, flags *devFlags) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	dir, err := filepath.Abs(flags.dataDir)
	if err != nil {
		return err
	}
	files, err := openDevFiles(dir)
	if err != nil {
		return err
	}
	if there := files.nodes(); there > 0 && there != flags.nodes {
		return fmt.Errorf("%s holds a cluster of %d nodes: use --nodes %d, or another --data-dir", dir, there, there)
	}
	c := &devCluster{flags: flags, files: files, term: newTerminal(p.stdout)}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range flags.nodes {
		c.nodes = append(c.nodes, newDevNode(c, program, i))
	}
	// The balancer's port comes first: a second dev on the same ports must fail before it starts anything.
	listener, err := net.Listen("tcp", loopback(flags.port))
	if err != nil {
		return fmt.Errorf("balancer: %w; --port moves all ports", err)
	}
	if err := c.checkPorts(); err != nil {
		return errors.Join(err, listener.Close())
	}
	c.balancer = newBalancer(c.addrs())
	serving := c.balancer.start(listener)
	defer func() { err = errors.Join(err, c.balancer.close(), <-serving) }()
	return c.run(ctx)
}

// checkPorts refuses ports where somebody else serves: that could be taken for a server of ours.
func (c *devCluster) checkPorts() error {
	var faults []error
	for _, n := range c.nodes {
		listener, err := net.Listen("tcp", n.httpAddr)
		if err == nil {
			err = listener.Close()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", n.id, err))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w; --port moves all ports", oneLine(faults))
}

// run starts the nodes, says how to use them, and returns when ctx ends, or chaos, and all of them are gone.
func (c *devCluster) run(ctx context.Context) error {
	// The servers outlive ctx: what chaos has sent by then is to be answered.
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	c.term.say("starting %d servers; their logs are in %s", len(c.nodes), filepath.Join(c.files.dir, "n*.log"))
	for _, n := range c.nodes {
		running.Go(func() {
			if err := n.supervise(serving); err != nil {
				cancel(err)
			}
		})
	}
	err := c.use(ctx)
	c.term.say("stopping the servers")
	stop(nil)
	running.Wait()
	return err
}

// use is what dev does while its servers run. Its error is nil when it was interrupted.
func (c *devCluster) use(ctx context.Context) error {
	err := c.awaitReady(ctx)
	if err == nil {
		var guide string
		guide, err = c.guide(time.Now())
		c.term.say("%s", guide)
	}
	switch {
	case err == nil && c.flags.chaos:
		err = c.chaos(ctx)
	case err == nil:
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // a server that could not be started
	}
	if ctx.Err() != nil && !errors.Is(err, errReported) {
		return nil
	}
	return err
}

func (c *devCluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devReadyTime)
	defer cancel()
	for _, n := range c.nodes {
		for !n.ready(ctx) {
			if !pause(ctx, 100*time.Millisecond) {
				return fmt.Errorf("%s did not become ready within %s; its log is %s", n.id, devReadyTime, n.logPath)
			}
		}
		n.wasReady.Store(true)
	}
	return nil
}

// pause waits, and says whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *devCluster) addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.httpAddr
	}
	return addrs
}

// port shifts one of the usual ports.
func (c *devCluster) port(usual, i int) int { return usual + 1 + i + c.flags.port - devPort }

func (c *devCluster) join() string {
	var addrs []string
	for i := range c.flags.nodes {
		addrs = append(addrs, loopback(c.port(devGossipPort, i)))
	}
	return strings.Join(addrs, ",")
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
