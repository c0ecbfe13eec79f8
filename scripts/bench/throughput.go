package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// preload fills the store up to n sessions and starts the floor with a real answer, if it does not run yet.
func (b *bench) preload(ctx context.Context, c *cluster, tokens *load.Tokens, n int) error {
	n -= tokens.Len()
	began := time.Now()
	if _, _, err := load.Preload(ctx, load.Options{Addrs: c.addrs(), Key: c.key, Tokens: tokens, Seed: uint64(tokens.Len())}, n); err != nil {
		return err
	}
	took := time.Since(began)
	b.say("created %d sessions in %.1f s (%s)", n, took.Seconds(), rate(float64(n)/took.Seconds()))
	if b.floor == nil {
		said, err := c.nodes[0].session(ctx, tokens.At(0))
		if err != nil {
			return fmt.Errorf("read a session: %w", err)
		}
		if err := b.startFloor(said); err != nil {
			return err
		}
	}
	return harness.Pause(ctx, b.cfg.sizes.settle)
}

// beside measures the nodes between two halves of the floor with as many clients.
func (b *bench) beside(ctx context.Context, options load.Options) (runs []load.Result, floorRate float64, err error) {
	options.Duration, options.WarmUp = b.cfg.cell, max(options.WarmUp, b.cfg.cell/10)
	before, err := b.floor.measure(ctx, options.Clients, b.cfg.cell/2)
	if err != nil {
		return nil, 0, err
	}
	measured, err := load.Run(ctx, options)
	if err != nil {
		return nil, 0, err
	}
	after, err := b.floor.measure(ctx, options.Clients, b.cfg.cell/2)
	if err != nil {
		return nil, 0, err
	}
	if measured.Operations == 0 {
		return nil, 0, fmt.Errorf("nothing succeeded: %s", measured.FirstError())
	}
	return []load.Result{before, measured, after}, (before.OperationsPerSecond + after.OperationsPerSecond) / 2, nil
}

// measureThroughput fills the usual store and measures one cell after the other.
func (b *bench) measureThroughput(ctx context.Context, c *cluster) error {
	tokens := &load.Tokens{}
	if err := b.preload(ctx, c, tokens, b.cfg.sizes.some); err != nil {
		return err
	}
	for i, cell := range cells() {
		if !b.wants(cell.name) {
			continue
		}
		b.say("%s", cell.name)
		options := load.Options{
			Addrs: c.addrs(), Profile: cell.profile, Clients: cell.clients, Key: c.key, Seed: uint64(i+1) << 32, Tokens: tokens,
		}
		if cell.profile == load.Create {
			options.Tokens = nil // the other rows go on with the sessions that they began with
		}
		runs, floorRate, err := b.beside(ctx, options)
		if err != nil {
			return fmt.Errorf("%s: %w", cell.name, err)
		}
		got := runs[1]
		b.report.add(row{
			Name: cell.name, Figure: rate(got.OperationsPerSecond), Beside: "floor " + rate(floorRate),
			Value: pointer(got.OperationsPerSecond / floorRate), Notes: notesOf(got), Runs: runs,
		})
	}
	if b.wants("patch-leader") {
		return b.measurePatchOnLeader(ctx, c, tokens)
	}
	return nil
}

// notesOf says how long requests took, and what failed.
func notesOf(r load.Result) []string {
	l := r.Latency
	notes := []string{fmt.Sprintf("p50 %s, p99 %s, p99.9 %s, longest %s", micros(l.P50), micros(l.P99), micros(l.P999), micros(l.Max))}
	if r.Errors > 0 {
		notes = append(notes, fmt.Sprintf("%d ERRORS: %s", r.Errors, r.FirstError()))
	}
	return notes
}

// measurePatchOnLeader compares one client's PATCH with the one fsync that it cannot do without.
func (b *bench) measurePatchOnLeader(ctx context.Context, c *cluster, tokens *load.Tokens) error {
	b.say("patch-leader")
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	before, err := measureAppends(ctx, b.dir, b.cfg.cell/2)
	if err != nil {
		return err
	}
	result, err := load.Run(ctx, load.Options{
		Addrs: []string{leader.httpAddr}, Profile: load.Patch, Clients: 1, Duration: b.cfg.cell, WarmUp: b.cfg.cell / 10, Tokens: tokens,
		Seed: 1 << 40,
	})
	if err != nil {
		return err
	}
	after, err := measureAppends(ctx, b.dir, b.cfg.cell/2)
	if err != nil {
		return err
	}
	if result.Operations == 0 {
		return errors.New("no PATCH on the leader succeeded: " + result.FirstError())
	}
	appended := median(append(before, after...))
	b.report.add(row{
		Name: "patch-leader", Figure: micros(result.Latency.P50), Beside: "append " + micros(appended),
		Value: pointer(result.Latency.P50 / appended), Notes: notesOf(result), Runs: []load.Result{result},
	})
	return nil
}
