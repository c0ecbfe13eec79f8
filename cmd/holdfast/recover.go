package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/storage"
)

func (p *program) recoverVerb() *cobra.Command {
	var dir, confirm string
	return p.command(verb{
		use: "recover", short: "make a new cluster of one surviving node, after the majority was lost for good",
		long: "Run it on a node that is stopped. Without --confirm it changes nothing and says what this node has and what may be\n" +
			"lost. docs/operations.md has the procedure step by step.",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&dir, "data-dir", "", "the data directory of the surviving node; no server may run on it")
			f.StringVar(&confirm, "confirm", "", "what the first run printed: that this node is meant, and the end of its log")
		},
		check: func() error { return required("data-dir", dir) },
		run:   func(context.Context, []string) error { return p.recoverNode(dir, confirm) },
	})
}

func (p *program) recoverNode(dir, confirm string) (err error) {
	table, err := openExisting(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	machine, err := fsm.OpenMachine(table)
	if err != nil {
		return err
	}
	r, err := cluster.OpenRecovery(dir, machine, walkFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	words := r.LastWords()
	p.printLastWords(words)
	if confirm == "" {
		fmt.Fprintf(p.stdout, "\nnothing was changed. To go on with this node:\n  holdfast recover --data-dir %s --confirm %s\n", dir, words.Confirmation())
		return errReported
	}
	if err := words.Confirms(confirm); err != nil {
		return err
	}
	id, err := r.Recover()
	if err != nil {
		return fmt.Errorf("recover: %w; run it again", err)
	}
	fmt.Fprintf(p.stdout, "\nrecovered: %s is the only member of the new cluster %016x.\n", words.NodeID, id)
	fmt.Fprintln(p.stdout, "Start it. Then wipe each other node with holdfast heal --force before it is started: it joins as a new member.")
	return nil
}

// openExisting opens a table that is there already, without making one.
func openExisting(dir string) (*storage.Table, error) {
	path := filepath.Join(dir, "table.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("data-dir: there is no %s: this is no node's data directory", path)
	}
	table, err := storage.Open(path, storage.Options{Logger: slog.New(slog.DiscardHandler)})
	if errors.Is(err, storage.ErrLocked) {
		return nil, errors.New("a server runs on this data directory: stop it first")
	}
	return table, err
}

func (p *program) printLastWords(w cluster.LastWords) {
	last := "never"
	if !w.Time.IsZero() {
		last = w.Time.UTC().Format(time.RFC3339)
	}
	rows := [][]any{
		{"node", w.NodeID},
		{"cluster", fmt.Sprintf("%016x", w.Cluster)},
		{"last entry", fmt.Sprintf("index %d of term %d, written %s", w.Index, w.Term, last)},
		{"voters were", listed(w.Voters)},
		{"non-voters were", listed(w.Others)},
	}
	writeTable(p.stdout, []any{"", ""}, rows)
	fmt.Fprint(p.stdout, strings.Join([]string{
		"",
		"What may be lost: every write that was acknowledged behind this entry, which only lost nodes have; logouts are writes.",
		"Run this on each survivor and choose the one with the greatest term, then the greatest index.",
		"Never recover while a majority of the voters can still be started: start them instead. Two clusters would serve the same users.",
		"",
	}, "\n"))
}
