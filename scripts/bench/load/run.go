package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const progressInterval = 200 * time.Millisecond

// A run is what the clients of one Run share.
type run struct {
	options  Options
	targets  *Targets
	start    time.Time
	warmUp   time.Duration
	stopped  atomic.Bool   // no new request is begun
	stopping chan struct{} // closed with stopped
	left     atomic.Int64  // requests that may still be claimed, if there is a count
	numbers  atomic.Uint64
	pulses   [2]*pulse // of reads, of writes
	tallies  []*tally
}

// Run makes requests as the options say until its duration is over, its count is reached or ctx ends, and returns what
// it measured. Requests that are outstanding when the duration is over may still finish within Options.Timeout; when
// ctx ends they are abandoned, and Run returns what was measured so far together with ctx's error. Failed requests are
// no error of Run: they are counted in the result. An error with an empty result means that the options are at fault.
func Run(ctx context.Context, options Options) (Result, error) {
	if err := options.Validate(); err != nil {
		return Result{}, err
	}
	options = options.withDefaults()
	total := options.WarmUp + options.Duration
	r := &run{
		options: options, targets: options.Targets, warmUp: options.WarmUp, stopping: make(chan struct{}),
		pulses:  [2]*pulse{newPulse(total + options.Timeout), newPulse(total + options.Timeout)},
		tallies: make([]*tally, options.Clients),
	}
	r.left.Store(int64(options.Count))
	work, interrupt := context.WithCancel(ctx)
	defer interrupt()
	var clients sync.WaitGroup
	tokens, data := options.Tokens.snapshot(), sessionData(options.DataBytes)
	r.start = time.Now()
	for i := range options.Clients {
		r.tallies[i] = &tally{}
		c := r.client(i, tokens, data)
		clients.Go(func() { c.loop(work) })
	}
	finished := make(chan struct{})
	go func() {
		clients.Wait()
		close(finished)
	}()
	r.watch(work, interrupt, finished)
	return r.result(), context.Cause(ctx)
}

func (r *run) client(i int, tokens tokenView, data []byte) *client {
	o := &r.options
	c := &client{
		run: r, home: i, tally: r.tallies[i], line: line{timeout: o.Timeout},
		writer: writer{options: o, tokens: tokens, data: data, rng: rand.New(rand.NewPCG(o.Seed, uint64(i)))},
	}
	if o.RatePerSecond > 0 {
		c.interval = max(time.Duration(float64(o.Clients)/o.RatePerSecond*float64(time.Second)), 1)
		c.due = -c.interval + c.interval*time.Duration(i)/time.Duration(o.Clients)
	}
	return c
}

// watch waits for the clients. It stops them when the run's time is over, interrupts them a timeout later, and reports
// progress meanwhile.
func (r *run) watch(work context.Context, interrupt func(), finished <-chan struct{}) {
	total := r.options.WarmUp + r.options.Duration
	soft, hard := time.NewTimer(total), time.NewTimer(total+r.options.Timeout+deadlineSlack)
	defer soft.Stop()
	defer hard.Stop()
	var tick <-chan time.Time
	if r.options.Progress != nil {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	stop := func() {
		if r.stopped.CompareAndSwap(false, true) {
			close(r.stopping)
		}
	}
	done, asked := work.Done(), r.options.Stop
	for {
		select {
		case <-finished:
			return
		case <-soft.C:
			stop()
		case <-asked:
			stop()
			asked = nil
			hard.Reset(r.options.Timeout + deadlineSlack)
		case <-hard.C:
			interrupt()
		case <-done:
			stop()
			done = nil // the clients are on their way out
		case <-tick:
			r.options.Progress(r.progress())
		}
	}
}

func (r *run) progress() Progress {
	p := Progress{Elapsed: r.now(), Total: r.options.WarmUp + r.options.Duration, Count: r.options.Count}
	for _, t := range r.tallies {
		p.Operations += t.done.Load()
		p.Errors += t.failed.Load()
	}
	return p
}

// now is the time since the run's start.
func (r *run) now() time.Duration { return time.Since(r.start) }

// claim takes one of the requests that the count allows.
func (r *run) claim() bool { return r.options.Count == 0 || r.left.Add(-1) >= 0 }

// sequence numbers the writes of a run; reads need no number.
func (r *run) sequence(k kind) uint64 {
	if k == read {
		return 0
	}
	return r.numbers.Add(1)
}

func (r *run) result() Result {
	end := r.now()
	var sum tally
	for _, t := range r.tallies {
		sum.merge(t)
	}
	measured := max(end-r.warmUp, 0)
	all := sum.latency[0]
	all.merge(&sum.latency[1])
	result := Result{
		Profile: r.options.Profile, Clients: r.options.Clients, Seconds: measured.Seconds(),
		Operations: all.n, Errors: sum.errors[0] + sum.errors[1], Abandoned: sum.abandoned, Reconnects: sum.reconnects,
		Latency: all.latency(), SlowestErrorMS: float64(sum.slowestError) / 1e6,
		ErrorKinds: sum.errorCounts(), Timeline: sum.seconds, Kinds: make(map[string]uint64),
		start: r.start, end: end, pulses: r.pulses,
	}
	for k, n := range sum.made {
		if n > 0 {
			result.Kinds[kind(k).String()] = n
		}
	}
	if measured > 0 {
		result.OperationsPerSecond = float64(all.n) / measured.Seconds()
	}
	classOf := func(i int) *Class {
		gap := r.pulses[i].longestGap(min(r.warmUp, end), end)
		h := &sum.latency[i]
		return &Class{Operations: h.n, Errors: sum.errors[i], Latency: h.latency(), LongestGapMS: float64(gap) / 1e6}
	}
	if r.options.Profile == Get || r.options.Profile == Mixed || r.options.Profile == Life {
		result.Reads = classOf(0)
	}
	if r.options.Profile != Get {
		result.Writes = classOf(1)
	}
	return result
}
