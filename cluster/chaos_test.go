package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// chaos is a cluster under random faults, and what its clients know.
type chaos struct {
	*sim
	logs   map[string]*hangingLog
	mu     sync.Mutex // guards which nodes are up, and the counts
	rng    *rand.Rand
	stop   chan struct{}
	all    sync.WaitGroup
	counts map[string]int
}

// node returns a random node that is up.
func (c *chaos) node(r *rand.Rand) (*Node, *testMachine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		one := c.nodes[c.ids[r.IntN(len(c.ids))]]
		if one.node != nil {
			return one.node, one.machine
		}
	}
}

func (c *chaos) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// client writes 1, 2, 3, … into a key of its own, through any node, and reads
// it back through any other: with the index of its last write, or strongly. A
// write of unknown outcome ends the key: it may happen at any time yet.
func (c *chaos) client(id int) {
	r := rand.New(rand.NewPCG(uint64(id), 7))
	acked, index, generation := 0, uint64(0), 0
	for step := 0; ; step++ {
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(r.IntN(40)) * time.Millisecond):
		}
		key := fmt.Sprintf("c%d-%d", id, generation)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if r.IntN(2) == 0 {
			n, _ := c.node(r)
			_, at, err := n.Propose(ctx, fmt.Appendf(nil, "c%d-%d set %s %d", id, step, key, acked+1))
			switch {
			case err == nil:
				acked, index = acked+1, at
				c.count("written")
			case errors.Is(err, ErrOutcomeUnknown):
				acked, index, generation = 0, 0, generation+1
				c.count("unknown")
			default:
				c.count("refused")
			}
		} else {
			n, m := c.node(r)
			strong := r.IntN(2) == 0
			_, _, stamp := m.Applied()
			anywhere := c.latest()
			if now, err := n.Read(ctx, index, strong); err != nil {
				c.count("unread")
			} else if c.late(now, stamp, anywhere) {
				c.t.Errorf("%s: read with the clock at %d, true is %d, applied was %d", key, now, time.Now().UnixMilli(), stamp)
			} else if got, _ := strconv.Atoi(m.get(key)); got != acked {
				c.t.Errorf("%s: read %d (strong=%v), acknowledged was %d", key, got, strong, acked)
			} else {
				c.count("read")
			}
		}
		cancel()
	}
}

// latest is the greatest stamp that any node has applied.
func (c *chaos) latest() (latest int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.nodes {
		_, _, stamp := one.machine.Applied()
		latest = max(latest, stamp)
	}
	return latest
}

// late says that a read's clock is behind what its node had applied before, or an
// hour off as one of the wall clocks is. Behind what any node had applied it is
// only by as much as the log's clock was just moved forward.
func (c *chaos) late(now, applied, anywhere int64) bool {
	off := now - time.Now().UnixMilli()
	return now < applied || now < anywhere-500 || off < -1000 || off > 1000
}

func (c *chaos) fault() {
	id := c.ids[c.rng.IntN(len(c.ids))]
	other := c.ids[c.rng.IntN(len(c.ids))]
	pause := func() { time.Sleep(time.Duration(200+c.rng.IntN(4000)) * time.Millisecond) }
	switch c.rng.IntN(8) {
	case 0: // kill and restart
		c.mu.Lock()
		one := c.nodes[id]
		n := one.node
		one.node = nil
		c.mu.Unlock()
		if err := n.Close(); err != nil {
			c.t.Errorf("close %s: %v", id, err)
		}
		pause()
		machine := openTestMachine(one.disk)
		fresh, err := Open(c.config(one), machine)
		if err != nil {
			c.t.Errorf("open %s: %v", id, err)
			return
		}
		c.mu.Lock()
		one.node, one.machine = fresh, machine
		c.mu.Unlock()
	case 1:
		c.isolate(id)
		pause()
		c.net.heal()
	case 2: // one way
		c.net.set(id, other, id != other)
		pause()
		c.net.heal()
	case 3: // one wall clock jumps by up to an hour, the last one comes back
		c.net.mu.Lock()
		for _, one := range c.nodes {
			one.offset = 0
		}
		c.nodes[id].offset = time.Duration(c.rng.IntN(7200)-3600) * time.Second
		c.net.mu.Unlock()
		pause()
	case 4:
		c.mu.Lock()
		n := c.nodes[id].node
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = n.TransferLeadership(ctx)
		cancel()
		pause()
	case 5: // a slow disk
		c.logs[id].slowDown(time.Duration(10+c.rng.IntN(300)) * time.Millisecond)
		pause()
		c.logs[id].slowDown(0)
	case 6: // a disk that hangs, and cut off at the same time or not: a pause
		goOn := c.logs[id].hang()
		if c.rng.IntN(2) == 0 {
			c.isolate(id)
		}
		pause()
		goOn()
		c.net.heal()
	case 7: // slow lines
		for _, to := range c.ids {
			if to != id {
				c.net.Delay(id, to, 80*time.Millisecond)
			}
		}
		pause()
		c.net.heal()
	}
}

func TestThePromisesHoldUnderRandomFaults(t *testing.T) {
	runs := 4
	if testing.Short() {
		runs = 2
	}
	if more, err := strconv.Atoi(os.Getenv("HOLDFAST_TEST_SEEDS")); err == nil {
		runs = more
	}
	for seed := range runs {
		for _, size := range []int{3, 5} {
			t.Run(fmt.Sprintf("nodes=%d/seed=%d", size, seed), func(t *testing.T) {
				logs, slow := slowDisks(0)
				small := func(c *Config) {
					slow(c)
					c.SnapshotBytes, c.TrailingEntries = 8<<10, 20
				}
				simulate(t, size, small, func(s *sim) {
					c := &chaos{
						sim: s, logs: logs, rng: rand.New(rand.NewPCG(uint64(seed), 1)), stop: make(chan struct{}), counts: make(map[string]int),
					}
					for id := range 6 {
						c.all.Go(func() { c.client(id) })
					}
					for range 15 {
						c.fault()
						time.Sleep(time.Duration(c.rng.IntN(1500)) * time.Millisecond)
					}
					c.net.heal()
					time.Sleep(5 * time.Second)
					close(c.stop)
					c.all.Wait()
					s.leader()
					s.converge()
					if c.counts["written"] < 200 || c.counts["read"] < 200 {
						t.Errorf("too little happened: %v", c.counts)
					}
					for _, id := range s.ids {
						if err := s.nodes[id].node.Err(); err != nil {
							t.Errorf("%s took itself out: %v", id, err)
						}
					}
				})
			})
		}
	}
}
