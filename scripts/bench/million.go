package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// measureMillion compares a small store with a big one on the same nodes. Both speeds are taken as ratios to the floor of
// their own moment, so that a machine that has become slower in between does not count. Both are read for a while before:
// the first read of each page of the file is a page fault, and what is compared is how they serve, not how they begin.
func (b *bench) measureMillion(ctx context.Context, c *cluster) error {
	tokens := &load.Tokens{}
	options := load.Options{Addrs: c.addrs(), Profile: load.Get, Clients: 64, Tokens: tokens, WarmUp: b.cfg.sizes.warm}
	var small []load.Result
	var smallFloor float64
	var err error
	if b.wants("get-million") {
		if err := b.preload(ctx, c, tokens, b.cfg.sizes.few); err != nil {
			return err
		}
		b.say("get-million: the small store")
		if small, smallFloor, err = b.beside(ctx, options); err != nil {
			return err
		}
	}
	if err := b.preload(ctx, c, tokens, b.cfg.sizes.many); err != nil {
		return err
	}
	afterCreates, err := c.heaps(ctx)
	if err != nil {
		return err
	}
	if b.wants("get-million") {
		b.say("get-million: the big store")
		big, bigFloor, err := b.beside(ctx, options)
		if err != nil {
			return err
		}
		b.report.add(row{
			Name: "get-million", Figure: rate(big[1].OperationsPerSecond), Beside: "small " + rate(small[1].OperationsPerSecond),
			Value: pointer(big[1].OperationsPerSecond / bigFloor / (small[1].OperationsPerSecond / smallFloor)),
			Notes: append(notesOf(big[1]), fmt.Sprintf("%d sessions against %d; each as a share of its own floor, %s and %s",
				b.cfg.sizes.many, b.cfg.sizes.few, rate(bigFloor), rate(smallFloor))),
			Runs: slices.Concat(small, big),
		})
	}
	if b.wants("heap") {
		if err := b.reportHeap(ctx, c, afterCreates); err != nil {
			return err
		}
	}
	if b.wants("restart") {
		return b.measureRestart(ctx, c, tokens)
	}
	return nil
}

const mib = 1 << 20

// A heap is what a node's runtime says of its memory, in MiB.
type heap struct{ inUse, live, resident float64 }

func (c *cluster) heaps(ctx context.Context) ([]heap, error) {
	var heaps []heap
	for _, n := range c.nodes {
		m, err := n.metrics(ctx)
		if err != nil {
			return nil, err
		}
		inUse, ok := m["go_memstats_heap_inuse_bytes"]
		if !ok {
			return nil, fmt.Errorf("%s: /metrics has no go_memstats_heap_inuse_bytes", n.id)
		}
		heaps = append(heaps, heap{inUse / mib, m["go_memstats_heap_alloc_bytes"] / mib, m["process_resident_memory_bytes"] / mib})
	}
	return heaps, nil
}

// reportHeap takes the greatest heap of any node, of two moments: at rest after the creates, and after the reads. The
// garbage that waits for its collector is in it: it is what the operator must provide for.
func (b *bench) reportHeap(ctx context.Context, c *cluster, afterCreates []heap) error {
	afterReads, err := c.heaps(ctx)
	if err != nil {
		return err
	}
	greatest := 0.
	describe := func(heaps []heap) string {
		var parts []string
		for _, h := range heaps {
			greatest = max(greatest, h.inUse)
			parts = append(parts, fmt.Sprintf("%.0f in use, %.0f allocated, %.0f resident", h.inUse, h.live, h.resident))
		}
		return strings.Join(parts, "; ")
	}
	notes := []string{
		"MiB a node after the creates: " + describe(afterCreates),
		"MiB a node after the reads: " + describe(afterReads),
	}
	b.report.add(row{
		Name: "heap", Figure: fmt.Sprintf("%.0f MiB", greatest), Beside: fmt.Sprintf("%d sessions", b.cfg.sizes.many),
		Value: pointer(greatest), Notes: notes,
	})
	return nil
}

// measureRestart kills followers, and takes the time from their start until they are ready and answer a local read.
func (b *bench) measureRestart(ctx context.Context, c *cluster, tokens *load.Tokens) error {
	var seconds []float64
	for i := range b.cfg.sizes.restarts {
		leader, err := c.leader(ctx)
		if err != nil {
			return err
		}
		at := slices.Index(c.nodes, leader)
		victim := c.nodes[(at+1+i%2)%len(c.nodes)]
		b.say("restart: kill -9 %s", victim.id)
		victim.process.Kill()
		began := time.Now()
		if err := c.start(victim); err != nil {
			return err
		}
		if err := victim.awaitReady(ctx); err != nil {
			return fmt.Errorf("restart %s: %w", victim.id, err)
		}
		token := tokens.At(i * (tokens.Len() / 7) % tokens.Len())
		if err := harness.Poll(ctx, startTime, func() error {
			_, err := victim.session(ctx, token)
			return err
		}); err != nil {
			return fmt.Errorf("read from %s after its restart: %w", victim.id, err)
		}
		seconds = append(seconds, time.Since(began).Seconds())
	}
	worst := slices.Max(seconds)
	b.report.add(row{
		Name: "restart", Figure: fmt.Sprintf("%.2f s", median(seconds)), Beside: fmt.Sprintf("%d sessions", tokens.Len()),
		Value: pointer(math.Round(median(seconds)*100) / 100),
		Notes: []string{fmt.Sprintf("median of %d kills of a follower, the longest %.2f s; until /readyz and a local read answer 200", len(seconds), worst)},
	})
	return nil
}
