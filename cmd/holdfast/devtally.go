package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxTallied bounds what is kept of the failures, and of the pauses.
const (
	maxFailures = 5
	maxPauses   = 4096
)

// tally counts what the visitors of a cluster under chaos have met.
type tally struct {
	mu       sync.Mutex
	began    time.Time
	requests uint64
	failed   uint64
	stale    uint64 // reads that did not show what was acknowledged before they were sent
	skipped  uint64 // requests that were not sent, as too many were under way
	failures []string

	kills     int
	failovers int
	lastWrite time.Time       // when one was acknowledged
	killed    time.Time       // when the leader was; zero once writes go on
	before    time.Time       // the last acknowledgement before it
	pauses    []time.Duration // one a failover, in their order
	resumed   chan struct{}   // closed when writes go on after the kill
}

// answered counts one request. A failure is nil, or says what was wrong; it counts even if the answer was only late.
func (t *tally) answered(failure error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	if failure == nil {
		return
	}
	t.failed++
	t.keep(failure)
}

// wasStale counts a read that showed an older state than it had to. The request itself is counted by answered.
func (t *tally) wasStale(what error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale++
	t.keep(what)
}

func (t *tally) keep(failure error) {
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, fmt.Sprintf("after %s: %v", time.Since(t.began).Round(time.Millisecond), failure))
	}
}

func (t *tally) skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

// wrote notes that a write which was sent at the time sent was acknowledged at the time at. The first one that was sent
// after the leader's death ends the pause: one that was under way may be the dead leader's work.
func (t *tally) wrote(sent, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.killed.IsZero() && sent.After(t.killed) {
		if len(t.pauses) == maxPauses {
			t.pauses = t.pauses[1:]
		}
		t.pauses = append(t.pauses, at.Sub(t.before))
		t.failovers++
		t.killed = time.Time{}
		close(t.resumed)
	}
	t.lastWrite = at
}

// leaderDied notes the death of the leader. The channel is closed when a write is acknowledged after it.
func (t *tally) leaderDied(at time.Time) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kills++
	t.killed, t.before, t.resumed = at, t.lastWrite, make(chan struct{})
	if t.before.IsZero() {
		t.before = at
	}
	return t.resumed
}

// lastPause is how long writes paused at the last failover; 0 without one.
func (t *tally) lastPause() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pauses) == 0 {
		return 0
	}
	return t.pauses[len(t.pauses)-1]
}

func (t *tally) spotless() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed == 0 && t.stale == 0
}

// line is the running one.
func (t *tally) line(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("%6s  %d requests  %d failed  %d stale  %d failovers", now.Sub(t.began).Round(time.Second), t.requests, t.failed, t.stale, t.failovers)
	if len(t.pauses) > 0 {
		median, longest := t.pauseFigures()
		line += fmt.Sprintf("  write pause %s (median %s, longest %s)", seconds(t.pauses[len(t.pauses)-1]), seconds(median), seconds(longest))
	}
	return line
}

func (t *tally) pauseFigures() (median, longest time.Duration) {
	sorted := slices.Sorted(slices.Values(t.pauses))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}

// summary is the last word.
func (t *tally) summary(now time.Time, repeated uint64) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := []string{fmt.Sprintf("%s of chaos: %d requests, %d failed, %d stale reads; the leader was killed %d times, writes went on %d times",
		now.Sub(t.began).Round(time.Second), t.requests, t.failed, t.stale, t.kills, t.failovers)}
	if len(t.pauses) > 0 {
		median, longest := t.pauseFigures()
		lines = append(lines, fmt.Sprintf("writes paused for %s (median), %s (longest); the balancer sent %d requests to another node when one died",
			seconds(median), seconds(longest), repeated))
	}
	if t.skipped > 0 {
		lines = append(lines, fmt.Sprintf("%d requests were not sent, as too many waited for their answers", t.skipped))
	}
	for _, failure := range t.failures {
		lines = append(lines, "wrong, "+failure)
	}
	return lines
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
