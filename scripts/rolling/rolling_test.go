package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

// The short form of the run: fewer requests, shorter waits, and no judgement of pauses on a machine that does other
// things as well.
func TestNoRequestFailsWhenEveryNodeIsRestarted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three nodes and a balancer for each kind")
	}
	bin, err := harness.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		balancer string
		wait     time.Duration // above what the balancer needs to turn away, by its file
	}{
		{"haproxy", time.Second}, {"nginx", 2500 * time.Millisecond}, {"caddy", time.Second},
	} {
		t.Run(test.balancer, func(t *testing.T) {
			needed.Program(t, test.balancer)
			report, err := roll(t.Context(), config{
				bin: bin, balancer: test.balancer, configDir: "../../deploy/lb", rate: 100, clients: 20,
				settle: 500 * time.Millisecond, drainWait: test.wait, maxPause: 5 * time.Second,
			})
			var out bytes.Buffer
			if report != nil {
				report.print(&out)
			}
			t.Logf("%s", &out)
			if err != nil {
				t.Fatal(err)
			}
			if err := report.verdict(); err != nil {
				t.Error(err)
			}
		})
	}
}

// wellReport is a report of a run that missed nothing.
func wellReport() *report {
	now := time.Now()
	return &report{
		cfg: config{rate: 100, maxPause: time.Second},
		load: load.Result{
			Seconds: 10, Operations: 1000, Kinds: map[string]uint64{"read": 700, "patch": 200, "create": 50, "logout": 50},
		},
		restarts: []restart{
			{node: "n1", led: true, leader: "n2", from: now, to: now},
			{node: "n2", led: true, leader: "n3", from: now, to: now},
			{node: "n3", led: true, leader: "n1", from: now, to: now},
			{node: "n1", led: true, running: true, leader: "n2", from: now, to: now},
		},
		events: events{sent: 10, arrived: 10, opened: 2},
	}
}

func TestARunThatMissedSomethingOrProvesNothingFails(t *testing.T) {
	if err := wellReport().verdict(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, want string
		spoil      func(*report)
	}{
		{"a request failed", "1 requests failed", func(r *report) { r.load.Errors = 1 }},
		{"a request was given up", "1 requests were given up", func(r *report) { r.load.Abandoned = 1 }},
		{"writes paused", "writes paused", func(r *report) { r.restarts[1].pause = 2 * time.Second }},
		{"the leader never changed", "no restart changed the leader", func(r *report) {
			for i := range r.restarts {
				r.restarts[i].leader = r.restarts[i].node
			}
		}},
		{"no leader was restarted", "no restart changed the leader", func(r *report) {
			for i := range r.restarts {
				r.restarts[i].led = false
			}
		}},
		{"a node was left out", "2 of 3 nodes", func(r *report) { r.restarts = r.restarts[:2] }},
		{"nothing was handed over", "never handed over", func(r *report) { r.restarts = r.restarts[:3] }},
		{"too little traffic", "fewer than 90", func(r *report) { r.load.Operations = 800 }},
		{"no logins", "no create was made", func(r *report) { delete(r.load.Kinds, "create") }},
		{"an event was lost", "9 of 10 events", func(r *report) { r.events.arrived = 9 }},
		{"the stream was never put to the test", "opened 1 times", func(r *report) { r.events.opened = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := wellReport()
			test.spoil(r)
			if err := r.verdict(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("verdict %v", err)
			}
			var out bytes.Buffer
			r.print(&out)
			if !strings.Contains(out.String(), "LONGEST WRITE PAUSE") {
				t.Errorf("no table:\n%s", &out)
			}
		})
	}
}

func TestFlagsNameAllFaultsAtOnce(t *testing.T) {
	_, err := parseFlags([]string{"-lb", "f5", "-rate", "1", "-clients", "0", "-settle", "1ns", "surplus"})
	for _, want := range []string{"f5", "-rate", "-clients", "-settle", "surplus"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
