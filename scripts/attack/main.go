package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

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
	if err := attackOnce(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		return 1
	}
	return 0
}

// attackOnce runs the chosen groups on nodes of its own, and prints the table as it goes.
func attackOnce(ctx context.Context, cfg config) (err error) {
	a, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	report := &report{out: os.Stdout}
	a.start(ctx)
	for _, g := range a.chosen() {
		report.group(g.name, a.run(ctx, g))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(report.summary(), ctx.Err())
}

// attack is one run of this program.
type attack struct {
	cfg      config
	dir      string
	children harness.Children
	issuer   *issuer
	cluster  *cluster
	nodes    []*node // the cluster's
	alone    []*node // a node that is its own cluster and speaks TLS, once a group has needed it
	secrets  *secrets
	begun    map[string]chan []result // the groups that run beside the others
}

// open starts the issuer and the nodes. What it has started it ends when it fails.
func open(ctx context.Context, cfg config) (a *attack, err error) {
	a = &attack{cfg: cfg, secrets: newSecrets(), begun: make(map[string]chan []result)}
	if a.dir, err = os.MkdirTemp("", "holdfast-attack-"); err != nil {
		return nil, err
	}
	if err := a.openParts(ctx); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *attack) openParts(ctx context.Context) (err error) {
	bin, err := a.binary(ctx)
	if err != nil {
		return err
	}
	if a.issuer, err = openIssuer(a.secrets); err != nil {
		return err
	}
	if a.cluster, err = startCluster(ctx, &a.children, bin, a.dir, a.issuer); err != nil {
		return err
	}
	a.nodes = a.cluster.nodes
	a.secrets.add("the service key", a.cluster.service)
	a.secrets.add("the operator key", a.cluster.operator)
	a.secrets.add("the cluster key", a.cluster.clusterKey)
	return nil
}

// binary is the one that -bin names, or one that is built now.
func (a *attack) binary(ctx context.Context) (string, error) {
	if a.cfg.bin != "" {
		path, err := filepath.Abs(a.cfg.bin)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("-bin: %w", err)
		}
		return path, nil
	}
	return harness.Build(ctx, a.dir)
}

// close ends all processes and removes what they kept.
func (a *attack) close() error {
	a.children.KillAll()
	if a.issuer != nil {
		a.issuer.close()
	}
	if a.cfg.keep {
		fmt.Fprintf(os.Stderr, "data and logs are in %s\n", a.dir)
		return nil
	}
	return os.RemoveAll(a.dir)
}

// everyone are all nodes that have served.
func (a *attack) everyone() []*node { return slices.Concat(a.nodes, a.alone) }
