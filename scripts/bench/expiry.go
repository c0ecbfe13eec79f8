package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// A steady load tells how long requests wait: closed loops would fill the machine, and then measure only each other.
const (
	steadyReads  = 2000 // a second
	steadyWrites = 200
	steadyUnits  = 32 // clients of each kind
)

// steady runs reads and writes at a fixed pace side by side, and waits for both.
func steady(ctx context.Context, targets *load.Targets, tokens *load.Tokens, length time.Duration, seed uint64) (reads, writes load.Result, err error) {
	var pair sync.WaitGroup
	var readsErr, writesErr error
	options := load.Options{
		Targets: targets, Clients: steadyUnits, Duration: length, WarmUp: 300 * time.Millisecond, Tokens: tokens, Seed: seed,
	}
	pair.Go(func() {
		o := options
		o.Profile, o.RatePerSecond = load.Get, steadyReads
		reads, readsErr = load.Run(ctx, o)
	})
	pair.Go(func() {
		o := options
		o.Profile, o.RatePerSecond = load.Patch, steadyWrites
		writes, writesErr = load.Run(ctx, o)
	})
	pair.Wait()
	if err := errors.Join(readsErr, writesErr); err != nil {
		return reads, writes, err
	}
	return reads, writes, errors.Join(enough(reads), enough(writes))
}

// enough refuses a run in which nothing succeeded: it would look as if nobody had waited.
func enough(r load.Result) error {
	if r.Operations == 0 {
		return fmt.Errorf("no %s succeeded: %s", r.Profile, r.FirstError())
	}
	return nil
}

// measureExpiry creates sessions that all end at one moment, and watches reads and writes of others around it.
func (b *bench) measureExpiry(ctx context.Context, c *cluster) error {
	living, doomed := &load.Tokens{}, &load.Tokens{}
	sizes := b.cfg.sizes
	began := time.Now()
	if err := b.preload(ctx, c, living, sizes.few); err != nil {
		return err
	}
	// Half as long again as the creates should take, and the time for the measurement before.
	estimate := time.Duration(float64(time.Since(began)-sizes.settle) * float64(sizes.many) / float64(sizes.few) * 1.5)
	expireAt := time.Now().Add(estimate + sizes.baseline + sizes.settle + sizes.spare)
	b.say("expiry: creating %d sessions that expire in %v", sizes.many, time.Until(expireAt).Round(time.Second))
	if _, _, err := load.Preload(ctx, load.Options{
		Addrs: c.addrs(), Key: c.key, Tokens: doomed, ExpireAt: expireAt, Seed: 1 << 20,
	}, sizes.many); err != nil {
		return err
	}
	if time.Until(expireAt) < sizes.baseline+sizes.settle+time.Second {
		return errors.New("the creates became so slow that the sessions expired before all of them were there")
	}
	targets := load.NewTargets(c.addrs()...)
	if err := harness.Pause(ctx, sizes.settle); err != nil {
		return err
	}
	readsBefore, writesBefore, err := steady(ctx, targets, living, sizes.baseline, 1)
	if err != nil {
		return err
	}
	if err := harness.Pause(ctx, time.Until(expireAt)-time.Second); err != nil {
		return err
	}
	already, err := c.expired(ctx)
	if err != nil {
		return err
	}
	b.say("expiry: the sessions expire")
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var reads, writes load.Result
	var loadErr error
	var background sync.WaitGroup
	background.Go(func() { reads, writes, loadErr = steady(watching, targets, living, expiryPatience, 2) })
	gone, waitErr := c.awaitExpired(ctx, already+float64(sizes.many), expireAt)
	cancel()
	background.Wait()
	if errors.Is(loadErr, context.Canceled) {
		loadErr = errors.Join(enough(reads), enough(writes)) // it was to be ended so
	}
	if err := errors.Join(loadErr, waitErr); err != nil {
		return err
	}
	b.reportExpiry(gone, readsBefore, writesBefore, reads, writes)
	return nil
}

const expiryPatience = 10 * time.Minute

// expired is how many sessions have expired so far, as the first node counts them.
func (c *cluster) expired(ctx context.Context) (float64, error) {
	stats, err := c.nodes[0].stats(ctx, c.key)
	if err != nil {
		return 0, err
	}
	n, ok := stats["expired"]
	if !ok {
		return 0, harness.Permanent{Err: errors.New("/api/stats/ does not count what has expired")}
	}
	return n, nil
}

// awaitExpired waits until so many sessions have expired, and says how long after the moment that was.
func (c *cluster) awaitExpired(ctx context.Context, n float64, expireAt time.Time) (time.Duration, error) {
	var gone time.Duration
	err := harness.Poll(ctx, expiryPatience, func() error {
		expired, err := c.expired(ctx)
		if err != nil {
			return err
		}
		if gone = time.Since(expireAt); expired < n {
			_ = harness.Pause(ctx, 100*time.Millisecond) // so that asking costs the nodes nothing; poll sees when ctx ends
			return fmt.Errorf("%.0f of %.0f sessions have expired", expired, n)
		}
		if gone < 0 {
			return harness.Permanent{Err: fmt.Errorf("all were counted as expired %v before their time", -gone)}
		}
		return nil
	})
	return gone, err
}

func (b *bench) reportExpiry(gone time.Duration, readsBefore, writesBefore, reads, writes load.Result) {
	runs := []load.Result{readsBefore, writesBefore, reads, writes}
	many := float64(b.cfg.sizes.many)
	b.report.add(row{
		Name: "expiry-gone", Figure: fmt.Sprintf("%.1f s", gone.Seconds()), Beside: fmt.Sprintf("%.0f sessions", many),
		Value: pointer(gone.Seconds()), Runs: runs,
		Notes: []string{fmt.Sprintf("%.0f a second; meanwhile %d reads and %d writes a second of other sessions", many/gone.Seconds(), steadyReads, steadyWrites)},
	})
	b.report.add(row{
		Name: "expiry-reads", Figure: micros(reads.Latency.P99), Beside: "before " + micros(readsBefore.Latency.P99),
		Value: pointer(reads.Latency.P99 / readsBefore.Latency.P99), Notes: notesOf(reads),
	})
	b.report.add(row{
		Name: "expiry-writes", Figure: micros(writes.Latency.Max), Beside: "before " + micros(writesBefore.Latency.Max),
		Value: pointer(writes.Latency.Max / 1e3), Notes: notesOf(writes),
	})
}
