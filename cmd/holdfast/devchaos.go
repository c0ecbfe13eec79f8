package main

import (
	"context"
	"sync"
	"time"
)

const (
	chaosEvery    = 10 * time.Second
	chaosRestart  = time.Second      // between a leader's death and its new start
	chaosPatience = 30 * time.Second // for a write to be acknowledged after a kill
	chaosLine     = 5 * time.Second  // between two lines where there is no screen
	chaosRefresh  = 250 * time.Millisecond
)

// chaos kills the leader with kill -9 again and again, under a small load that goes through the balancer as that of a
// frontend would, until ctx ends or the time that was asked for is over. Its error is that of a request that failed, or
// of a read that was stale.
func (c *devCluster) chaos(ctx context.Context) error {
	if c.flags.chaosFor > 0 {
		limited, cancel := context.WithTimeout(ctx, c.flags.chaosFor)
		defer cancel()
		ctx = limited
	}
	t := &tally{began: time.Now()}
	load := &devLoad{url: "http://" + loopback(c.flags.port), rate: c.flags.chaosRate, tally: t, login: func(user string) (string, error) {
		return c.files.login(user, time.Now())
	}}
	c.term.say("\nchaos: kill -9 of the leader every %s, under %d requests a second through the balancer", c.flags.chaosEvery, c.flags.chaosRate)
	var running sync.WaitGroup
	running.Go(func() { load.run(ctx) })
	running.Go(func() { c.killLeaders(ctx, t) })
	running.Go(func() { c.showTally(ctx, t) })
	running.Wait()
	c.term.refresh("")
	for _, line := range t.summary(time.Now(), c.balancer.repeated.Load()) {
		c.term.say("%s", line)
	}
	if !t.spotless() {
		return errReported
	}
	return nil
}

func (c *devCluster) showTally(ctx context.Context, t *tally) {
	every := chaosLine
	if c.term.screen {
		every = chaosRefresh
	}
	for pause(ctx, every) {
		line := t.line(time.Now())
		if c.term.screen {
			c.term.refresh(line)
		} else {
			c.term.say("%s", line)
		}
	}
}

// killLeaders kills one leader after the other, each once all servers are ready again: the loss of one is what the
// cluster promises to survive.
func (c *devCluster) killLeaders(ctx context.Context, t *tally) {
	next := time.Now()
	for {
		next = next.Add(c.flags.chaosEvery)
		if !pause(ctx, time.Until(next)) {
			return
		}
		leader := c.awaitLeader(ctx)
		if leader == nil || !leader.kill(chaosRestart) {
			continue
		}
		c.awaitFailover(ctx, leader, t.leaderDied(time.Now()), t)
	}
}

// awaitLeader waits until all servers are ready and one of them leads. It is nil when ctx ends.
func (c *devCluster) awaitLeader(ctx context.Context) *devNode {
	for ctx.Err() == nil {
		if c.allReady(ctx) {
			for _, n := range c.nodes {
				if n.leads(ctx) {
					return n
				}
			}
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// awaitFailover says how the death of the leader went.
func (c *devCluster) awaitFailover(ctx context.Context, dead *devNode, resumed <-chan struct{}, t *tally) {
	limit := time.NewTimer(chaosPatience)
	defer limit.Stop()
	select {
	case <-ctx.Done():
	case <-limit.C:
		c.term.say("killed %s, the leader: no write was acknowledged for %s", dead.id, chaosPatience)
	case <-resumed:
		c.term.say("killed %s, the leader: writes paused for %s", dead.id, seconds(t.lastPause()))
	}
}

func (c *devCluster) allReady(ctx context.Context) bool {
	for _, n := range c.nodes {
		if !n.ready(ctx) {
			return false
		}
	}
	return true
}
