package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verb is a leaf of the command tree.
type verb struct {
	use, short, long string
	// flags declares them; each is also HOLDFAST_… in the environment.
	flags func(*pflag.FlagSet)
	// args is how many arguments beside flags the verb takes.
	args int
	more bool // and any number beyond
	// check joins all that is wrong with the flags' values; may be nil.
	check func() error
	run   func(ctx context.Context, args []string) error
	// misused ends the verb where the invocation is wrong, in place of what other verbs do; may be nil.
	misused func(faults []error) error
}

// command makes a leaf of the tree. It reads the flags itself: cobra stops at the first fault, and an operator who has
// made three should not have to start three times to learn of them.
func (p *program) command(v verb) *cobra.Command {
	cmd := &cobra.Command{Use: v.use, Short: v.short, Long: v.long, DisableFlagParsing: true, Args: cobra.ArbitraryArgs}
	cmd.Flags().SortFlags = false
	if v.flags != nil {
		v.flags(cmd.Flags())
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rest, faults := parse(cmd.Flags(), args, p.environ)
		if help, err := cmd.Flags().GetBool("help"); err == nil && help {
			return cmd.Help()
		}
		for _, extra := range rest[min(v.args, len(rest)):] {
			if v.more {
				break
			}
			faults = append(faults, fmt.Errorf("unexpected argument %q", extra))
		}
		if len(rest) < v.args {
			faults = append(faults, fmt.Errorf("wants %d argument(s): holdfast %s", v.args, v.use))
		}
		if v.check != nil {
			faults = append(faults, v.check())
		}
		if err := errors.Join(faults...); err != nil {
			if v.misused != nil {
				return v.misused(faults)
			}
			return &usageError{faults: faults}
		}
		return v.run(cmd.Context(), rest)
	}
	return cmd
}

// group makes a node of the tree that does nothing by itself.
func (p *program) group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{faults: []error{errors.New("wants a verb")}}
			}
			return &usageError{faults: []error{fmt.Errorf("unknown verb %q", args[0])}}
		},
	}
}
