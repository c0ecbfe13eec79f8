package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	remote
	profiles    []string
	clients     int
	duration    time.Duration
	warmUp      time.Duration
	preload     int
	rate        float64
	consistency string
	dataBytes   int
	idle        time.Duration
}

func (b *benchFlags) flags(f *pflag.FlagSet) {
	b.remote.flags(f)
	f.Lookup("key").Usage = "service key; better in " + envName("key")
	f.StringSliceVar(&b.profiles, "profile", []string{"create", "get", "patch", "mixed"}, "what to do, in this order: create, get, patch, mixed (95 % get, 5 % patch)")
	f.IntVar(&b.clients, "clients", load.DefaultClients, "clients at a time, one connection each, dealt to the nodes in turn")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "how long each profile is measured")
	f.DurationVar(&b.warmUp, "warm-up", time.Second, "how long each profile runs before")
	f.IntVar(&b.preload, "preload", 10_000, "sessions to create first, for profiles other than create")
	f.Float64Var(&b.rate, "rate", 0, "requests a second over all clients; 0 is as fast as the answers come")
	f.StringVar(&b.consistency, "consistency", "", "local or strong, sent with reads")
	f.IntVar(&b.dataBytes, "data-bytes", load.DefaultDataBytes, "size of a session's data")
	f.DurationVar(&b.idle, "idle-timeout", 0, "of the sessions that are created; 0 is the server's default")
}

func (b *benchFlags) check() error {
	faults := []error{b.remote.check()}
	if len(b.profiles) == 0 {
		faults = append(faults, errors.New("profile: at least one is needed"))
	}
	// Validate looks at one profile's run: creates need no tokens, and those that do get them later.
	options := b.options(load.Create)
	if err := options.Validate(); err != nil {
		faults = append(faults, err)
	}
	for _, profile := range b.profiles {
		faults = append(faults, mustChooseOne("profile", profile, "create", "get", "patch", "mixed"))
	}
	if b.consistency != "" {
		faults = append(faults, mustChooseOne("consistency", b.consistency, "local", "strong"))
	}
	if b.preload < 1 || b.preload > 10_000_000 {
		faults = append(faults, fmt.Errorf("preload %d: want 1 to 10000000", b.preload))
	}
	for _, addr := range b.addrs {
		if strings.HasPrefix(addr, "https://") {
			faults = append(faults, fmt.Errorf("addr %q: bench measures plain HTTP only", addr))
		}
	}
	return errors.Join(faults...)
}

func (b *benchFlags) options(profile load.Profile) load.Options {
	addrs := make([]string, len(b.addrs))
	for i, addr := range b.addrs {
		addrs[i] = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	}
	return load.Options{
		Addrs: addrs, Key: b.key, Profile: profile, Clients: b.clients, Duration: b.duration, WarmUp: b.warmUp,
		RatePerSecond: b.rate, Consistency: b.consistency, DataBytes: b.dataBytes, IdleTimeout: b.idle,
		Seed: uint64(time.Now().UnixNano()),
	}
}

func (p *program) benchVerb() *cobra.Command {
	b := &benchFlags{}
	return p.command(verb{
		use: "bench", short: "measure running nodes (service key)",
		long: "Drives running nodes with real sessions and says how many operations a second they did and how long these took.\n" +
			"It creates sessions that stay until they expire: do not point it at a cluster that people use.",
		flags: b.flags, check: b.check,
		run: func(ctx context.Context, _ []string) error { return p.bench(ctx, b) },
	})
}

// bench measures one profile after the other. Failed requests are counted; only a run that did nothing is an error.
func (p *program) bench(ctx context.Context, b *benchFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	tokens := &load.Tokens{}
	results := make([]load.Result, 0, len(b.profiles))
	for _, name := range b.profiles {
		options := b.options(load.Profile(name))
		if options.Profile != load.Create && tokens.Len() == 0 {
			if err := p.preload(ctx, b, tokens); err != nil {
				return err
			}
		}
		if options.Profile != load.Create {
			options.Tokens = tokens
		}
		bar := p.newBar(name, 0)
		options.Progress = bar.update
		result, err := load.Run(ctx, options)
		bar.close()
		if result.Operations > 0 || err == nil {
			results = append(results, result)
		}
		if err != nil {
			return errors.Join(p.printResults(b, results), err)
		}
	}
	if err := p.printResults(b, results); err != nil {
		return err
	}
	for _, r := range results {
		if r.Operations == 0 {
			return fmt.Errorf("no %s succeeded: %s", r.Profile, r.FirstError())
		}
	}
	return nil
}

func (p *program) preload(ctx context.Context, b *benchFlags, tokens *load.Tokens) error {
	options := b.options(load.Create)
	bar := p.newBar("preload", uint64(b.preload))
	defer bar.close()
	options.Tokens, options.Progress = tokens, bar.update
	options.RatePerSecond, options.Duration = 0, 0
	_, _, err := load.Preload(ctx, options, b.preload)
	return err
}

func (p *program) printResults(b *benchFlags, results []load.Result) error {
	if b.output == outputJSON {
		return writeJSON(p.stdout, results)
	}
	rows := make([][]any, 0, len(results))
	var errs []string
	for _, r := range results {
		rows = append(rows, []any{
			string(r.Profile), r.Clients, fmt.Sprintf("%.1f", r.Seconds), fmt.Sprintf("%.0f", r.OperationsPerSecond),
			millis(r.Latency.P50), millis(r.Latency.P99), millis(r.Latency.P999), millis(r.Latency.Max), r.Errors,
		})
		if r.Errors > 0 {
			errs = append(errs, fmt.Sprintf("%s: %s", r.Profile, r.FirstError()))
		}
	}
	writeTable(p.stdout, []any{"profile", "clients", "seconds", "ops/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "errors"}, rows)
	for _, line := range errs {
		fmt.Fprintln(p.stdout, line)
	}
	return nil
}

func millis(micros float64) string { return fmt.Sprintf("%.2f", micros/1000) }
