package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/snapshot"
)

func (p *program) snapshotGroup() *cobra.Command {
	cmd := p.group("snapshot", "archives of the whole state")
	cmd.AddCommand(p.snapshotSaveVerb(), p.snapshotInspectVerb(), p.snapshotRestoreVerb())
	return cmd
}

// archiveView is what is told of an archive.
type archiveView struct {
	File          string    `json:"file"`
	Whole         bool      `json:"whole"`
	Fault         string    `json:"fault,omitempty"` // why it is not
	Kind          string    `json:"kind"`
	FormatVersion int       `json:"format_version"`
	Cluster       string    `json:"cluster"`
	Index         uint64    `json:"index"`
	Term          uint64    `json:"term"`
	Time          time.Time `json:"time"` // by the log's clock
	Sessions      uint64    `json:"sessions"`
	Users         uint64    `json:"users"`
	Anonymous     uint64    `json:"anonymous_sessions"`
	NotBefores    uint64    `json:"not_befores"`
	EndedLogins   uint64    `json:"ended_logins"`
	Events        uint64    `json:"events"`
	Bytes         int64     `json:"bytes"`
	RawBytes      int64     `json:"raw_bytes"`
	StateHash     string    `json:"state_hash"`
	SHA256        string    `json:"sha256"`
}

func (p *program) snapshotInspectVerb() *cobra.Command {
	output := outputTable
	return p.command(verb{
		use: "inspect FILE", short: "read an archive whole: is it sound, and what does it hold", args: 1,
		long: "Reads every byte of an archive and checks its checksum, the hash of its pairs, each record, and its own counts.\n" +
			"Needs no node and no key. Exits with 1 and the reason if the archive could not be restored.",
		flags: func(f *pflag.FlagSet) { f.StringVarP(&output, "output", "o", outputTable, "table or json") },
		check: func() error { return mustChooseOne("output", output, outputTable, outputJSON) },
		run: func(ctx context.Context, args []string) error {
			view, err := p.inspect(ctx, args[0])
			if view == nil {
				return err
			}
			if output == outputJSON {
				if fault := writeJSON(p.stdout, view); fault != nil {
					return fault
				}
			} else {
				p.printArchive(view)
			}
			return err
		},
	})
}

// inspect reads an archive whole. The view is nil where there is nothing to tell; err is why it is not sound.
func (p *program) inspect(ctx context.Context, path string) (*archiveView, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	bar := p.newByteBar("read", stat.Size())
	held, err := fsm.ReadArchive(ctx, io.TeeReader(bufio.NewReaderSize(file, 1<<20), bar), nil)
	bar.close()
	view := viewArchive(path, stat.Size(), &held)
	if view.Whole = err == nil; !view.Whole {
		view.Fault = err.Error()
		err = fmt.Errorf("%s: %w", printable(path), err)
	}
	if errors.Is(err, snapshot.ErrForeign) || ctx.Err() != nil {
		return nil, err
	}
	return view, err
}

func viewArchive(path string, size int64, held *fsm.Contents) *archiveView {
	h := &held.Header
	return &archiveView{
		File: path, Kind: h.Kind.String(), FormatVersion: snapshot.Version,
		Cluster: fmt.Sprintf("%016x", h.Cluster), Index: h.Index, Term: h.Term, Time: held.Time(),
		Sessions: held.Sessions, Users: held.Users, Anonymous: held.Anonymous,
		NotBefores: held.NotBefores, EndedLogins: held.EndedLogins, Events: held.Events,
		Bytes: size, RawBytes: held.RawBytes, StateHash: fmt.Sprintf("%016x", h.Hash), SHA256: hex.EncodeToString(held.Checksum),
	}
}

func (p *program) printArchive(v *archiveView) {
	state := "whole"
	if !v.Whole {
		state = "NOT whole: what follows is what was read before the fault, and is not to be believed"
	}
	writeTable(p.stdout, []any{"archive", ""}, [][]any{
		{"file", v.File},
		{"state", state},
		{"kind", fmt.Sprintf("%s, format version %d", v.Kind, v.FormatVersion)},
		{"cluster", v.Cluster},
		{"index", fmt.Sprintf("%d, term %d", v.Index, v.Term)},
		{"time", v.Time.Format(time.RFC3339)},
		{"sessions", fmt.Sprintf("%d of %d users, %d of them anonymous", v.Sessions, v.Users, v.Anonymous)},
		{"remembered", fmt.Sprintf("%d log outs everywhere, %d logins that a provider has ended", v.NotBefores, v.EndedLogins)},
		{"events", fmt.Sprint(v.Events)},
		{"size", fmt.Sprintf("%d bytes, %d unpacked", v.Bytes, v.RawBytes)},
		{"sha256", v.SHA256},
	})
}
