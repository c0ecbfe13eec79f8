package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// restoreWish is what an operator wants of a restore.
type restoreWish struct {
	remote
	sessions string
	yes      bool
}

func (p *program) snapshotRestoreVerb() *cobra.Command {
	w := &restoreWish{}
	return p.command(verb{
		use: "restore FILE", short: "give the cluster the data of an archive (operator key)", args: 1,
		long: "In a cluster that has had sessions, those that are alive now and in the archive get the archive's data; no dead session\n" +
			"comes back, younger ones stay untouched, secrets stay as they are. A cluster that has never had a session needs\n" +
			"--sessions: all brings back every session that has not expired, those included whose users have logged out since the\n" +
			"archive was made; none takes over only who must log in anew. The archive is read whole before anything is changed. A\n" +
			"restore that was broken off goes on when it is repeated, through any node.",
		flags: func(f *pflag.FlagSet) {
			w.flags(f)
			f.StringVar(&w.sessions, "sessions", "", "all or none: for a cluster that has never had a session")
			f.BoolVarP(&w.yes, "yes", "y", false, "do not ask")
		},
		check: func() error {
			if w.sessions == "" {
				return w.check()
			}
			return errors.Join(w.check(), mustChooseOne("sessions", w.sessions, "all", "none"))
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			return p.restore(ctx, w, args[0])
		},
	})
}

// restoreAnswer is what a node says of a restore.
type restoreAnswer struct {
	Restored    uint64 `json:"restored"`
	SkippedDead uint64 `json:"skipped_dead"`
	Unchanged   uint64 `json:"unchanged"`
	Index       uint64 `json:"index"`
	Cluster     string `json:"cluster"`
	TookMS      int64  `json:"took_ms"`
}

func (p *program) restore(ctx context.Context, w *restoreWish, path string) error {
	view, err := p.inspect(ctx, path)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if w.output == outputTable {
		p.printArchive(view)
		fmt.Fprintln(p.stdout)
	}
	if !w.yes {
		if err := p.confirm("Restore this archive into the cluster? Data that was written since is lost. [yes/no] "); err != nil {
			return err
		}
	}
	var done restoreAnswer
	if err := p.upload(ctx, w, path, &done); err != nil {
		return err
	}
	if w.output == outputJSON {
		return writeJSON(p.stdout, done)
	}
	fmt.Fprintf(p.stdout, "restored %d sessions; %d were dead and stay so, %d had the archive's data\nthe cluster is %s from index %d on; took %s\n",
		done.Restored, done.SkippedDead, done.Unchanged, printable(done.Cluster), done.Index, time.Duration(done.TookMS)*time.Millisecond)
	return nil
}

// errNotConfirmed is returned where somebody was asked and has not said yes.
var errNotConfirmed = errors.New("nothing was changed")

// confirm asks a person. Where there is none, nobody has said yes.
func (p *program) confirm(question string) error {
	if !isTerminal(os.Stdin) || !isTerminal(p.stderr) {
		return fmt.Errorf("%w: there is nobody to ask, say --yes", errNotConfirmed)
	}
	fmt.Fprint(p.stderr, question)
	said, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || said != "yes\n" {
		return errNotConfirmed
	}
	return nil
}

// upload sends an archive to the nodes in their order until one takes it.
func (p *program) upload(ctx context.Context, w *restoreWish, path string, out *restoreAnswer) error {
	var faults []error
	for _, addr := range w.addrs {
		err := p.uploadTo(ctx, w, addr, path, out)
		refused, answered := errors.AsType[*refusal](err)
		if err == nil || (answered && refused.status/100 != 5) || ctx.Err() != nil {
			return err
		}
		faults = append(faults, err)
	}
	return oneLine(faults)
}

func (p *program) uploadTo(ctx context.Context, w *restoreWish, addr, path string, out *restoreAnswer) error {
	base, err := baseURL(addr)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	target := base + "/cluster/snapshot"
	if w.sessions != "" {
		target += "?sessions=" + w.sessions
	}
	bar := p.newByteBar("restore", stat.Size())
	defer bar.close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target, io.TeeReader(file, bar))
	if err != nil {
		return err
	}
	request.ContentLength = stat.Size()
	request.Header.Set("Authorization", "Bearer "+w.key)
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Expect", "100-continue") // a node that refuses should not have to take it all first
	response, err := transferClient.Do(request)
	if err != nil {
		return unanswered(addr, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s broke off its answer: %w", addr, err)
	case response.StatusCode != http.StatusOK:
		return refusedBy(addr, response.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s answers something that is not JSON: %w", addr, err)
	}
	return nil
}
