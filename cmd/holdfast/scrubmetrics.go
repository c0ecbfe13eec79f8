package main

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrubRecord is when this node last reread what it keeps. Times are Unix nanoseconds, 0 before the first.
type scrubRecord struct {
	began, succeeded    atomic.Int64
	took                atomic.Int64 // nanoseconds, of the last that succeeded
	successes, failures atomic.Uint64
}

func (r *scrubRecord) begin(now time.Time) { r.began.Store(now.UnixNano()) }

func (r *scrubRecord) succeed(now time.Time) {
	r.took.Store(now.UnixNano() - r.began.Load())
	r.succeeded.Store(now.UnixNano())
	r.successes.Add(1)
}

func scrubCollector(r *scrubRecord) prometheus.Collector {
	c := &collector[*scrubRecord]{read: func() *scrubRecord { return r }}
	seconds := func(ns int64) float64 { return float64(ns) / 1e9 }
	c.add("scrub", "last_start_timestamp_seconds", "Unix time in seconds at which this process last began to reread its data; 0 before the first time.", gauge,
		func(r *scrubRecord) float64 { return seconds(r.began.Load()) })
	c.add("scrub", "last_success_timestamp_seconds", "Unix time in seconds at which this process last found its data whole; 0 before the first time.", gauge,
		func(r *scrubRecord) float64 { return seconds(r.succeeded.Load()) })
	c.add("scrub", "last_duration_seconds", "Seconds that the last scrub that found all whole took.", gauge,
		func(r *scrubRecord) float64 { return seconds(r.took.Load()) })
	c.add("scrub", "successes_total", "Scrubs that found all whole.", counter, func(r *scrubRecord) float64 { return float64(r.successes.Load()) })
	c.add("scrub", "failures_total", "Scrubs that found damage; the node stops itself then.", counter, func(r *scrubRecord) float64 { return float64(r.failures.Load()) })
	return c
}
