package load

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	maxExamples     = 3   // details kept for each kind of error
	maxExampleBytes = 240 // of each
	maxErrorKinds   = 64  // for each client; what comes after counts as other
)

type errorKey struct {
	status int
	code   string
}

type errorTally struct {
	count    uint64
	examples []string
}

// A tally is what one client has counted. Only its client writes to it; done and failed are read while it runs.
type tally struct {
	done   atomic.Uint64 // successes, warm-up included
	failed atomic.Uint64 // failures, warm-up included

	latency      [2]histogram // of reads, of writes
	errors       [2]uint64
	made         [logout + 1]uint64 // successes by kind
	seconds      []Second
	kinds        map[errorKey]*errorTally
	slowestError time.Duration
	abandoned    uint64
	reconnects   uint64

	_ [64]byte // the next client's counters live on another cache line
}

func class(k kind) int {
	if k.writes() {
		return 1
	}
	return 0
}

// success counts an answer that came at this time after the warm-up.
func (t *tally) success(k kind, latency, at time.Duration) {
	t.latency[class(k)].record(uint64(max(latency, 0)))
	t.second(at).Operations++
	t.made[k]++
}

func (t *tally) failure(k kind, waited, at time.Duration, status int, code, detail string) {
	t.errors[class(k)]++
	t.second(at).Errors++
	t.slowestError = max(t.slowestError, waited)
	t.kind(status, code, 1, detail)
}

func (t *tally) second(at time.Duration) *Second {
	for len(t.seconds) <= int(at/time.Second) {
		t.seconds = append(t.seconds, Second{})
	}
	return &t.seconds[at/time.Second]
}

func (t *tally) kind(status int, code string, count uint64, examples ...string) {
	key := errorKey{status, code}
	e := t.kinds[key]
	if e == nil && len(t.kinds) >= maxErrorKinds {
		key = errorKey{status, "other"}
		e = t.kinds[key]
	}
	if e == nil {
		if t.kinds == nil {
			t.kinds = make(map[errorKey]*errorTally)
		}
		e = &errorTally{}
		t.kinds[key] = e
	}
	e.count += count
	for _, detail := range examples {
		if detail != "" && len(e.examples) < maxExamples && !slices.Contains(e.examples, detail) {
			e.examples = append(e.examples, detail[:min(len(detail), maxExampleBytes)])
		}
	}
}

func (t *tally) merge(o *tally) {
	for i := range t.latency {
		t.latency[i].merge(&o.latency[i])
		t.errors[i] += o.errors[i]
	}
	for k, n := range o.made {
		t.made[k] += n
	}
	for i, s := range o.seconds {
		sum := t.second(time.Duration(i) * time.Second)
		sum.Operations += s.Operations
		sum.Errors += s.Errors
	}
	for key, e := range o.kinds {
		t.kind(key.status, key.code, e.count, e.examples...)
	}
	t.slowestError = max(t.slowestError, o.slowestError)
	t.abandoned += o.abandoned
	t.reconnects += o.reconnects
}

// errorCounts lists the kinds of errors, the most frequent first.
func (t *tally) errorCounts() []ErrorCount {
	var list []ErrorCount
	for key, e := range t.kinds {
		list = append(list, ErrorCount{key.status, key.code, e.count, e.examples})
	}
	slices.SortFunc(list, func(a, b ErrorCount) int {
		switch {
		case a.Count != b.Count && a.Count > b.Count:
			return -1
		case a.Count != b.Count:
			return 1
		case a.Status != b.Status:
			return a.Status - b.Status
		case a.Code < b.Code:
			return -1
		}
		return 1
	})
	return list
}
