package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// config is what the flags say.
type config struct {
	bin, dir, jsonFile, floorFile string
	rows                          []string
	cell                          time.Duration
	quick, strict, keep           bool
	sizes                         sizes
}

// sizes are the amounts that a whole run and a smoke run differ in.
type sizes struct {
	few, some, many int           // sessions: the small store, the usual one, the big one
	kills, restarts int           // how often
	observe         time.Duration // how long, after a kill
	baseline        time.Duration // how long, before the expiry
	settle          time.Duration // rest after a preload, so that the last flushes are not measured with what follows
	warm            time.Duration // how long a store is read before its reads are measured beside another's
	spare           time.Duration // between the last create and the expiry, at least
}

var (
	fullSizes = sizes{
		few: 10_000, some: 100_000, many: 1_000_000, kills: 10, restarts: 3,
		observe: 4 * time.Second, baseline: 10 * time.Second, settle: 2 * time.Second, warm: 12 * time.Second, spare: 10 * time.Second,
	}
	smokeSizes = sizes{
		few: 500, some: 2_000, many: 10_000, kills: 1, restarts: 1,
		observe: 3 * time.Second, baseline: time.Second, settle: 300 * time.Millisecond, warm: 300 * time.Millisecond, spare: 4 * time.Second,
	}
)

// parseFlags names all faults at once.
func parseFlags(args []string) (config, error) {
	var cfg config
	var rows string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&cfg.bin, "bin", "", "the holdfast binary; built from ./cmd/holdfast if empty")
	flags.StringVar(&cfg.dir, "dir", "", "where the nodes keep their data, on the disk to be measured; default: a temporary directory")
	flags.StringVar(&cfg.jsonFile, "json", "", "also write everything that was measured to this file")
	flags.StringVar(&rows, "rows", "all", "rows to measure, separated by commas, by name or by the start of it: "+strings.Join(rowNames(), " ")+
		"; floor measures the floor alone, without nodes")
	flags.DurationVar(&cfg.cell, "cell", 5*time.Second, "how long each throughput figure is measured; its floor as long again")
	flags.BoolVar(&cfg.quick, "quick", false, "a smoke run of under a minute with small counts: shows that everything works, its figures mean nothing")
	flags.BoolVar(&cfg.strict, "strict", false, "exit with 1 if a figure misses its must")
	flags.BoolVar(&cfg.keep, "keep", false, "leave the nodes' data and logs behind")
	flags.StringVar(&cfg.floorFile, "floor", "", "serve as the floor with the answer in this file (used by bench itself)")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	var faults []error
	if flags.NArg() > 0 {
		faults = append(faults, fmt.Errorf("unexpected arguments: %v", flags.Args()))
	}
	if cfg.cell < 100*time.Millisecond || cfg.cell > 10*time.Minute {
		faults = append(faults, fmt.Errorf("-cell: %v is not in 100ms to 10m", cfg.cell))
	}
	var err error
	if cfg.rows, err = selectRows(rows); err != nil {
		faults = append(faults, err)
	}
	cfg.sizes = fullSizes
	if cfg.quick {
		cfg.sizes, cfg.cell = smokeSizes, min(cfg.cell, 600*time.Millisecond)
	}
	return cfg, errors.Join(faults...)
}

// selectRows turns the value of -rows into the names of rows.
func selectRows(value string) ([]string, error) {
	names := append(rowNames(), floorRow)
	if value == "all" {
		return rowNames(), nil
	}
	var chosen []string
	for word := range strings.SplitSeq(value, ",") {
		found := false
		for _, name := range names {
			if word != "" && strings.HasPrefix(name, word) {
				found = true
				chosen = append(chosen, name)
			}
		}
		if !found {
			return nil, fmt.Errorf("-rows: no row is named %q; there are: %s", word, strings.Join(names, " "))
		}
	}
	slices.Sort(chosen)
	return slices.Compact(chosen), nil
}
