package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// logClock is this node's knowledge of the log's clock: the greatest stamp that
// it has applied or taken over, plus the monotonic time since. It never goes
// back, and it stands at zero until the first stamp or median is known.
//
// The leader stamps entries with it. Taking the greatest and not simply the
// last matters there: an entry is applied some time after it was stamped, and a
// clock that restarted from each stamp would lose that time at every entry.
type logClock struct {
	mu   sync.Mutex // held by whoever moves it
	last atomic.Pointer[reading]
}

// reading is what the log's clock showed at a moment of this node's own.
type reading struct {
	ms int64 // since the Unix epoch
	at time.Time
}

// now is the log's clock in milliseconds, 0 if it is not known yet. Every read
// looks at it, so it takes no lock.
func (c *logClock) now() int64 {
	last := c.last.Load()
	if last == nil {
		return 0
	}
	return last.ms + time.Since(last.at).Milliseconds()
}

// forward moves the clock to ms if that is ahead of it, and says whether it was.
func (c *logClock) forward(ms int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ms <= c.now() {
		return false
	}
	c.last.Store(&reading{ms: ms, at: time.Now()})
	return true
}

// lowerMedian of an even number of values is the lower of the two in the
// middle: of two clocks the one that is ahead changes nothing.
func lowerMedian(ms []int64) int64 {
	sorted := slices.Sorted(slices.Values(ms))
	return sorted[(len(sorted)-1)/2]
}

// wallMedian asks every voter for its wall clock and returns the lower median.
// It waits for all of them, but once a majority has answered for no longer than
// patience; ok is false when there was no majority before ctx ended.
func (n *Node) wallMedian(ctx context.Context, patience time.Duration) (ms int64, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	voters := n.voters()
	answers := make(chan int64, len(voters))
	asked := 0
	var walls []int64
	for _, id := range voters {
		if id == n.cfg.NodeID {
			walls = append(walls, n.cfg.Wall().UnixMilli())
			continue
		}
		asked++
		n.tasks.Go(func() {
			wall, err := n.callWall(ctx, id)
			if err != nil {
				wall = 0
			}
			answers <- wall
		})
	}
	var enough <-chan time.Time
	for ; asked > 0; asked-- {
		if enough == nil && len(walls) > len(voters)/2 {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case wall := <-answers:
			if wall > 0 {
				walls = append(walls, wall)
			}
			continue
		case <-enough:
		case <-ctx.Done():
		}
		break
	}
	if len(walls) <= len(voters)/2 {
		return 0, false
	}
	return lowerMedian(walls), true
}
