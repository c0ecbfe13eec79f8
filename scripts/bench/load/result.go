package load

import (
	"fmt"
	"time"
)

// A Result is what a run measured. Times carry their unit at the end of their names.
type Result struct {
	Profile    Profile `json:"profile"`
	Clients    int     `json:"clients"`
	Seconds    float64 `json:"seconds"`    // from the end of the warm-up to the last answer
	Operations uint64  `json:"operations"` // requests that got their 2xx
	Errors     uint64  `json:"errors"`     // requests that got something else, or no answer
	Abandoned  uint64  `json:"abandoned"`  // requests that were outstanding when the run was interrupted
	Reconnects uint64  `json:"reconnects"` // connections that were opened to replace a lost one

	OperationsPerSecond float64 `json:"operations_per_second"`
	Latency             Latency `json:"latency"` // of operations; errors are not in it

	Reads  *Class `json:"reads,omitempty"`  // nil if the profile has none
	Writes *Class `json:"writes,omitempty"` // nil if the profile has none

	Kinds map[string]uint64 `json:"kinds"` // operations by what they did: read, patch, create, logout

	SlowestErrorMS float64      `json:"slowest_error_ms"` // the longest that a request waited only to fail
	ErrorKinds     []ErrorCount `json:"error_kinds,omitempty"`
	Timeline       []Second     `json:"timeline"` // one entry for each second after the warm-up, by the time of the answer

	start  time.Time
	end    time.Duration
	pulses [2]*pulse
}

// LongestWriteGap is the longest time between these two moments in which no write succeeded on any client, ± 1 ms; moments
// outside of the run count as its edges.
func (r Result) LongestWriteGap(from, to time.Time) time.Duration {
	within := func(t time.Time) time.Duration { return min(max(t.Sub(r.start), 0), r.end) }
	return r.pulses[1].longestGap(within(from), within(to))
}

// Latency summarises durations in microseconds, each within 1 %, the maximum and the mean exact.
type Latency struct {
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
	Mean float64 `json:"mean_us"`
}

// Class is the part of a run that only reads, or only writes.
type Class struct {
	Operations   uint64  `json:"operations"`
	Errors       uint64  `json:"errors"`
	Latency      Latency `json:"latency"`
	LongestGapMS float64 `json:"longest_gap_ms"` // the longest time in which none succeeded on any client; ± 1 ms
}

// ErrorCount is one kind of failure. Status is 0 when no answer came; Code is then one of "connect_failed",
// "connection_lost", "timeout", "malformed_response"; otherwise it is the code of the problem document, if there was one.
type ErrorCount struct {
	Status   int      `json:"status"`
	Code     string   `json:"code"`
	Count    uint64   `json:"count"`
	Examples []string `json:"examples,omitempty"` // the details of the first few
}

// Second counts what was answered within one second of a run.
type Second struct {
	Operations uint64 `json:"operations"`
	Errors     uint64 `json:"errors"`
}

// FirstError says in one line what failed most, or that nothing did.
func (r Result) FirstError() string {
	if len(r.ErrorKinds) == 0 {
		return "no errors"
	}
	e := r.ErrorKinds[0]
	text := fmt.Sprintf("%d × status %d %s", e.Count, e.Status, e.Code)
	if len(e.Examples) > 0 {
		text += ": " + e.Examples[0]
	}
	return text
}
