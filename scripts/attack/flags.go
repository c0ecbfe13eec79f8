package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// config is what the flags say.
type config struct {
	bin         string
	groups      []string // names; never empty
	short, keep bool
}

// parseFlags names all faults at once.
func parseFlags(args []string) (config, error) {
	var cfg config
	var chosen string
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.StringVar(&cfg.bin, "bin", "", "the holdfast binary; built from ./cmd/holdfast if empty")
	flags.StringVar(&chosen, "groups", "all", "groups of attacks, separated by commas: "+strings.Join(groupNames(), " "))
	flags.BoolVar(&cfg.short, "short", false, "leave out the rows that wait for long; they are named")
	flags.BoolVar(&cfg.keep, "keep", false, "leave the nodes' data and logs behind")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	var faults []error
	if flags.NArg() > 0 {
		faults = append(faults, fmt.Errorf("unexpected arguments: %v", flags.Args()))
	}
	cfg.groups = groupNames()
	if chosen != "all" {
		cfg.groups = strings.Split(chosen, ",")
	}
	for _, name := range cfg.groups {
		if !slices.Contains(groupNames(), name) {
			faults = append(faults, fmt.Errorf("-groups: there is no group %q; there are: %s", name, strings.Join(groupNames(), " ")))
		}
	}
	return cfg, errors.Join(faults...)
}
