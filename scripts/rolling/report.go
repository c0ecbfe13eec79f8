package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
)

// A report is what one run has seen.
type report struct {
	cfg      config
	balancer string
	load     load.Result
	restarts []restart
	events   events
}

func (r *report) print(w io.Writer) {
	l := r.load
	fmt.Fprintf(w, "\nRestarting every node behind %s\n\n", r.balancer)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tDONE\tLEADER THEN\tSTOPPED IN\tBACK IN\tLONGEST WRITE PAUSE\tMUST\t")
	for _, one := range r.restarts {
		done, stop, back := "restarted, a follower", seconds(one.stop), seconds(one.back)
		switch {
		case one.running:
			done, stop, back = "handed over, went on", "", ""
		case one.led:
			done = "restarted, the leader"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.3f s\t≤ %.2f s\t%s\n", one.node, done, one.leader, stop, back,
			one.pause.Seconds(), r.cfg.maxPause.Seconds(), mark(one.pause <= r.cfg.maxPause))
	}
	table.Flush()
	fmt.Fprintf(w, "\n%d requests in %.0f s (%d reads, %d patches, %d logins, %d logouts): %d failed, %d given up (must 0) %s\n",
		l.Operations+l.Errors, l.Seconds, l.Kinds["read"], l.Kinds["patch"], l.Kinds["create"], l.Kinds["logout"],
		l.Errors, l.Abandoned, mark(l.Errors+l.Abandoned == 0))
	fmt.Fprintf(w, "latency: median %.1f ms, 99 %% %.1f ms, longest %.0f ms\n", l.Latency.P50/1e3, l.Latency.P99/1e3, l.Latency.Max/1e3)
	fmt.Fprintf(w, "stream of events: %d of %d arrived, opened %d times %s\n\n",
		r.events.arrived, r.events.sent, r.events.opened, mark(r.events.whole()))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mark(ok bool) string {
	if ok {
		return "✓"
	}
	return "✗ MISSED"
}

// The least share of the wanted traffic that a run must have made to prove anything.
const leastTraffic = .9

// verdict names everything that a run has missed, and why it proves nothing if it does not.
func (r *report) verdict() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	l := r.load
	check(l.Errors == 0, "%d requests failed: %s", l.Errors, l.FirstError())
	check(l.Abandoned == 0, "%d requests were given up", l.Abandoned)
	moves, handed, restarted := 0, 0, make(map[string]bool)
	for _, one := range r.restarts {
		moved := one.led && one.leader != one.node
		switch {
		case one.running && moved:
			handed++
		case !one.running:
			restarted[one.node] = true
			if moved {
				moves++
			}
		}
		check(one.pause <= r.cfg.maxPause, "writes paused for %.3f s when %s was restarted or handed over", one.pause.Seconds(), one.node)
	}
	check(len(restarted) == len(fileNodes), "%d of %d nodes were restarted", len(restarted), len(fileNodes))
	check(moves > 0, "no restart changed the leader: this run proves nothing")
	check(handed > 0, "the leadership was never handed over: this run proves nothing")
	made := float64(l.Operations + l.Errors)
	check(made >= leastTraffic*r.cfg.rate*l.Seconds, "%.0f requests in %.0f s are fewer than %.0f a second: this run proves nothing",
		made, l.Seconds, leastTraffic*r.cfg.rate)
	for _, kind := range []string{"read", "patch", "create", "logout"} {
		check(l.Kinds[kind] > 0, "no %s was made: this run proves nothing", kind)
	}
	check(r.events.whole(), "%d of %d events arrived, the stream was opened %d times", r.events.arrived, r.events.sent, r.events.opened)
	return errors.Join(faults...)
}
