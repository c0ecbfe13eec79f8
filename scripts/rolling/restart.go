package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// A restart is what happened to one node, and when.
type restart struct {
	node       string
	running    bool   // it was no restart: the node handed its leadership over and went on
	led        bool   // it was the leader when it was told to stop
	leader     string // who leads afterwards
	from, to   time.Time
	stop, back time.Duration // from SIGTERM to the end, from the start to the balancer's first request
	pause      time.Duration // the longest without a write, known once the load has ended
}

// stopTime is far above what a drain may take with any flags that are used here.
const stopTime = time.Minute

// rounds restarts every node in turn, the leader first, until the load has gone on for long enough.
func rounds(ctx context.Context, cfg config, cluster *harness.Cluster, b *balancer) ([]restart, error) {
	began := time.Now()
	if err := harness.Pause(ctx, cfg.settle); err != nil {
		return nil, err
	}
	var all []restart
	for len(all) == 0 || time.Since(began) < cfg.atLeast {
		leader, err := cluster.Leader(ctx)
		if err != nil {
			return all, err
		}
		first := slices.Index(cluster.Nodes, leader)
		for i := range cluster.Nodes {
			one, err := restartNode(ctx, cfg, cluster, b, cluster.Nodes[(first+i)%len(cluster.Nodes)])
			if err != nil {
				return all, err
			}
			all = append(all, one)
		}
		one, err := handOver(ctx, cfg, cluster)
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

// handOver has the leader of now hand over to another node, and go on.
func handOver(ctx context.Context, cfg config, cluster *harness.Cluster) (restart, error) {
	leader, err := cluster.Leader(ctx)
	if err != nil {
		return restart{}, err
	}
	r := restart{node: leader.ID, running: true, led: true, from: time.Now()}
	if err := cluster.Transfer(ctx, leader); err != nil {
		return r, err
	}
	r.stop = time.Since(r.from)
	return r, r.settle(ctx, cfg, cluster)
}

// settle lets the load go on for a while, and sees who leads then.
func (r *restart) settle(ctx context.Context, cfg config, cluster *harness.Cluster) error {
	if err := harness.Pause(ctx, cfg.settle); err != nil {
		return err
	}
	leader, err := cluster.Leader(ctx)
	if err != nil {
		return err
	}
	r.leader, r.to = leader.ID, time.Now()
	return nil
}

// restartNode stops a node as an operator does, starts it again, and waits until the balancer uses it: only then may the
// next one be touched.
func restartNode(ctx context.Context, cfg config, cluster *harness.Cluster, b *balancer, n *harness.Node) (restart, error) {
	r := restart{node: n.ID}
	leader, err := cluster.Leader(ctx)
	if err != nil {
		return r, err
	}
	r.led, r.from = leader == n, time.Now()
	limited, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if err := n.Terminate(limited); err != nil {
		return r, err
	}
	stopped := time.Now()
	r.stop = stopped.Sub(r.from)
	if err := n.Start(); err != nil {
		return r, err
	}
	if err := n.AwaitReady(ctx); err != nil {
		return r, fmt.Errorf("wait for %s: %w", n.ID, err)
	}
	if err := b.awaitUse(ctx, n.ID); err != nil {
		return r, err
	}
	r.back = time.Since(stopped)
	return r, r.settle(ctx, cfg, cluster)
}
