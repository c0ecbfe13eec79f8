package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	joinPatience = 5 * time.Minute
	// beforeJoin is how long the load runs before the node starts: longer than it takes to warm up.
	beforeJoin = 600 * time.Millisecond
)

// measureJoin lets a fourth node join a big store under load, and takes the time until it has its vote.
func (b *bench) measureJoin(ctx context.Context, c *cluster) error {
	tokens := &load.Tokens{}
	if err := b.preload(ctx, c, tokens, b.cfg.sizes.many); err != nil {
		return err
	}
	targets := load.NewTargets(c.addrs()...)
	readsBefore, writesBefore, err := steady(ctx, targets, tokens, b.cfg.sizes.baseline, 1)
	if err != nil {
		return err
	}
	fourth, err := c.another("n4")
	if err != nil {
		return err
	}
	b.say("join: a fourth node starts")
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var reads, writes load.Result
	var loadErr error
	var background sync.WaitGroup
	background.Go(func() { reads, writes, loadErr = steady(watching, targets, tokens, joinPatience, 2) })
	waitErr := harness.Pause(ctx, beforeJoin)
	began := time.Now()
	if waitErr == nil {
		waitErr = c.start(fourth)
	}
	if waitErr == nil {
		waitErr = c.awaitVote(ctx, fourth.id)
	}
	took := time.Since(began)
	cancel()
	background.Wait()
	if errors.Is(loadErr, context.Canceled) {
		loadErr = errors.Join(enough(reads), enough(writes)) // it was to be ended so
	}
	if err := errors.Join(loadErr, waitErr); err != nil {
		return err
	}
	b.reportJoin(took, [2]load.Result{readsBefore, reads}, [2]load.Result{writesBefore, writes})
	return nil
}

func (b *bench) reportJoin(took time.Duration, reads, writes [2]load.Result) {
	b.report.add(row{
		Name: "join-voter", Figure: fmt.Sprintf("%.1f s", took.Seconds()), Beside: fmt.Sprintf("%d sessions", b.cfg.sizes.many),
		Value: pointer(took.Seconds()), Runs: []load.Result{reads[0], writes[0], reads[1], writes[1]},
		Notes: []string{fmt.Sprintf("from its start on an empty disk to its vote, under %d reads and %d writes a second on the other three",
			steadyReads, steadyWrites)},
	})
	for _, kind := range []struct {
		name          string
		before, while load.Result
	}{{"join-reads", reads[0], reads[1]}, {"join-writes", writes[0], writes[1]}} {
		b.report.add(row{
			Name: kind.name, Figure: micros(kind.while.Latency.P99), Beside: "before " + micros(kind.before.Latency.P99),
			Value: pointer(kind.while.Latency.P99 / kind.before.Latency.P99), Notes: notesOf(kind.while),
		})
	}
	b.report.add(row{Name: "join-failed", Figure: fmt.Sprint(reads[1].Errors + writes[1].Errors), Value: pointer(float64(reads[1].Errors + writes[1].Errors))})
}

// another makes one more node, which joins and forms nothing, without starting it.
func (c *cluster) another(id string) (*node, error) {
	addrs, err := harness.FreeAddrs(3)
	if err != nil {
		return nil, err
	}
	model := c.nodes[0]
	n := &node{id: id, httpAddr: addrs[0], dir: filepath.Join(c.dir, id), args: slices.Clone(model.args)}
	for flag, value := range map[string]string{
		"--node-id": id, "--data-dir": n.dir, "--http-addr": addrs[0], "--cluster-addr": addrs[1], "--gossip-addr": addrs[2],
		"--bootstrap-expect": "0",
	} {
		at := slices.Index(n.args, flag)
		if at < 0 {
			return nil, fmt.Errorf("%s has no %s", model.id, flag)
		}
		n.args[at+1] = value
	}
	if n.log, err = os.Create(filepath.Join(c.dir, id+".log")); err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, n)
	return n, nil
}

// awaitVote waits until the cluster's own status shows a node as a healthy voter.
func (c *cluster) awaitVote(ctx context.Context, id string) error {
	return harness.Poll(ctx, joinPatience, func() error {
		_ = harness.Pause(ctx, 100*time.Millisecond) // so that asking costs the nodes nothing; poll sees when ctx ends
		_, body, err := c.nodes[0].must(ctx, "/cluster/status", "Bearer "+c.operator)
		if err != nil {
			return err
		}
		var status struct {
			Members []struct {
				ID      string `json:"id"`
				Voter   bool   `json:"voter"`
				Healthy bool   `json:"healthy"`
			} `json:"members"`
		}
		if err := json.Unmarshal(body, &status); err != nil {
			return harness.Permanent{Err: err}
		}
		var seen []string
		for _, m := range status.Members {
			if m.ID == id && m.Voter && m.Healthy {
				return nil
			}
			seen = append(seen, fmt.Sprintf("%s voter %v healthy %v", m.ID, m.Voter, m.Healthy))
		}
		return fmt.Errorf("%s has no vote yet: %s", id, strings.Join(seen, "; "))
	})
}
