package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// config is what a run is told.
type config struct {
	bin       string
	balancer  string
	configDir string
	rate      float64
	clients   int
	atLeast   time.Duration
	settle    time.Duration
	drainWait time.Duration
	maxPause  time.Duration
	keep      bool
}

func parseFlags(args []string) (config, error) {
	var c config
	f := flag.NewFlagSet("rolling", flag.ContinueOnError)
	f.StringVar(&c.bin, "bin", "bin/holdfast", "the binary of the nodes")
	f.StringVar(&c.balancer, "lb", "haproxy", "the load balancer: "+strings.Join(balancerNames(), ", "))
	f.StringVar(&c.configDir, "configs", "deploy/lb", "where the balancers' configurations are")
	f.Float64Var(&c.rate, "rate", 500, "requests a second")
	f.IntVar(&c.clients, "clients", 50, "clients, each with one connection to the balancer")
	f.DurationVar(&c.atLeast, "for", 0, "restart the nodes again and again until so long is over; once in any case")
	f.DurationVar(&c.settle, "settle", 2*time.Second, "how long the load goes on before the first restart and after each")
	f.DurationVar(&c.drainWait, "drain-wait", -1, "--drain-wait of the nodes; theirs if negative")
	f.DurationVar(&c.maxPause, "max-pause", 250*time.Millisecond, "the longest that writes may pause at a restart")
	f.BoolVar(&c.keep, "keep", false, "keep data and logs, and say where they are")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(f.NArg() == 0, "%q: there are only flags", f.Args())
	check(slices.Contains(balancerNames(), c.balancer), "-lb %q: want one of %v", c.balancer, balancerNames())
	check(c.rate >= 20 && c.rate <= 5000, "-rate %v: want 20 to 5000", c.rate)
	check(c.clients >= 4 && c.clients <= 1000, "-clients %d: want 4 to 1000", c.clients)
	check(c.atLeast >= 0 && c.atLeast <= time.Hour/2, "-for %v: want at most 30m", c.atLeast)
	check(c.settle >= 100*time.Millisecond && c.settle <= time.Minute, "-settle %v: want 100ms to 1m", c.settle)
	check(c.maxPause > 0, "-max-pause %v: want more than 0", c.maxPause)
	return c, errors.Join(faults...)
}
