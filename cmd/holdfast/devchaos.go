package main

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	chaosEvery   = 3 * time.Second // and up to as much again
	chaosRestart = time.Second
)

// chaos kills one server after another, each time once all are ready again: that is the loss which the cluster promises
// to survive.
func (c *devCluster) chaos(ctx context.Context) {
	c.term.say("chaos: every few seconds a server is killed with kill -9 and started again")
	for pause(ctx, chaosEvery+rand.N(chaosEvery)) {
		if !c.allReady(ctx) {
			continue
		}
		n := c.nodes[rand.IntN(len(c.nodes))]
		part := "follower"
		if n.leads(ctx) {
			part = "leader"
		}
		if n.kill(chaosRestart) {
			c.term.say("chaos: kill -9 %s, the %s", n.id, part)
		}
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
