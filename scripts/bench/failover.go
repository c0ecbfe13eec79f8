package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// beforeKill is how long the load runs before the leader dies.
const beforeKill = time.Second

// A failover is what one kill of the leader did to the callers of the other nodes.
type failover struct {
	writePause, readPause float64 // s
	reads, writes         load.Result
}

// measureFailover kills the leader again and again. Before each kill the clients leave it, so that every request that
// fails is one to a node that lives.
func (b *bench) measureFailover(ctx context.Context, c *cluster) error {
	tokens := &load.Tokens{}
	if err := b.preload(ctx, c, tokens, b.cfg.sizes.few); err != nil {
		return err
	}
	var all []failover
	for i := range b.cfg.sizes.kills {
		f, err := b.killLeader(ctx, c, tokens, uint64(i))
		if err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		all = append(all, f)
	}
	b.reportFailover(all)
	return nil
}

func (b *bench) killLeader(ctx context.Context, c *cluster, tokens *load.Tokens, seed uint64) (failover, error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return failover{}, err
	}
	targets := load.NewTargets(c.addrs()...)
	var f failover
	var loadErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.reads, f.writes, loadErr = steady(ctx, targets, tokens, beforeKill+b.cfg.sizes.observe, seed)
	}()
	err = func() error {
		if err := harness.Pause(ctx, beforeKill); err != nil {
			return err
		}
		leaving, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := targets.Skip(leaving, leader.httpAddr); err != nil {
			return err
		}
		leader.process.Kill()
		return nil
	}()
	<-done
	if err != nil || loadErr != nil {
		return f, fmt.Errorf("%s: %w", leader.id, firstOf(err, loadErr))
	}
	f.writePause, f.readPause = f.writes.Writes.LongestGapMS/1e3, f.reads.Reads.LongestGapMS/1e3
	b.say("killed %s: writes paused %.2f s, reads %.3f s, %d requests failed", leader.id, f.writePause, f.readPause,
		f.reads.Errors+f.writes.Errors)
	if err := c.start(leader); err != nil {
		return f, err
	}
	return f, c.allReady(ctx)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) reportFailover(all []failover) {
	var pauses, reads []float64
	var failed, made uint64
	var runs []load.Result
	failure := ""
	for _, f := range all {
		pauses, reads = append(pauses, f.writePause), append(reads, f.readPause)
		for _, r := range []load.Result{f.reads, f.writes} {
			made += r.Operations
			failed += r.Errors
			if r.Errors > 0 && failure == "" {
				failure = r.FirstError()
			}
			runs = append(runs, r)
		}
	}
	what := fmt.Sprintf("%d kills", len(all))
	b.report.add(row{
		Name: "kill-pause", Figure: fmt.Sprintf("%.2f s", median(pauses)), Beside: what, Value: pointer(median(pauses)), Runs: runs,
		Notes: []string{fmt.Sprintf("from %.2f to %.2f s, under %d reads and %d writes a second through the surviving nodes",
			slices.Min(pauses), slices.Max(pauses), steadyReads, steadyWrites)},
	})
	failedRow := row{Name: "kill-failed", Figure: fmt.Sprint(failed), Beside: fmt.Sprintf("%d made", made+failed), Value: pointer(float64(failed))}
	if failure != "" {
		failedRow.Notes = []string{failure}
	}
	b.report.add(failedRow)
	b.report.add(row{
		Name: "kill-reads", Figure: fmt.Sprintf("%.3f s", slices.Max(reads)), Beside: what, Value: pointer(slices.Max(reads)),
		Notes: []string{fmt.Sprintf("median %.3f s; counts as no pause up to %v s", median(reads), noPause)},
	})
}
