package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	nodes   int
	dataDir string
	port    int
	chaos   bool
}

func (d *devFlags) check() error {
	var faults []error
	if d.nodes < 1 || d.nodes > maxDevNodes {
		faults = append(faults, fmt.Errorf("nodes %d: want 1 to %d", d.nodes, maxDevNodes))
	}
	if d.chaos && d.nodes < 3 {
		faults = append(faults, errors.New("chaos needs at least 3 nodes: fewer survive the loss of none"))
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
			f.BoolVar(&d.chaos, "chaos", false, "kill -9 a server every few seconds and start it again")
		},
		check: d.check,
		run:   func(ctx context.Context, _ []string) error { return p.dev(ctx, d) },
	})
	cmd.AddCommand(p.devLoginVerb())
	return cmd
}

// devCluster is one run of dev.
type devCluster struct {
	flags *devFlags
	files devFiles
	nodes []*devNode
	term  *terminal
}

// terminal lets several goroutines write whole lines.
type terminal struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, format+"\n", args...)
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
	c := &devCluster{flags: flags, files: files, term: &terminal{w: p.stdout}}
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
	b := newBalancer(c.addrs())
	serving := b.start(listener)
	defer func() { err = errors.Join(err, b.close(), <-serving) }()
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

// run starts the nodes, says how to use them, and returns when ctx ends and all of them are gone.
func (c *devCluster) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	c.term.say("starting %d servers; their logs are in %s", len(c.nodes), filepath.Join(c.files.dir, "n*.log"))
	for _, n := range c.nodes {
		running.Go(func() {
			if err := n.supervise(ctx); err != nil {
				cancel(err)
			}
		})
	}
	if err := c.awaitReady(ctx); err == nil {
		if guide, err := c.guide(time.Now()); err != nil {
			cancel(err)
		} else {
			c.term.say("%s", guide)
		}
		if c.flags.chaos {
			running.Go(func() { c.chaos(ctx) })
		}
	} else if ctx.Err() == nil {
		cancel(err)
	}
	<-ctx.Done()
	c.term.say("stopping the servers")
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
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
