package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(realMain()) }

func realMain() int {
	p := &program{environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}
	return p.main(context.Background(), os.Args[1:])
}

// program is one invocation: what it may read and where it may write. Tests make their own.
type program struct {
	environ        []string
	stdout, stderr io.Writer
}

// main runs the verb that args name and returns the exit code.
func (p *program) main(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if code, ends := errors.AsType[exitError](err); ends {
		return int(code)
	}
	switch usage, isUsage := errors.AsType[*usageError](err); {
	case err == nil:
		return exitDone
	case isUsage:
		usage.print(p.stderr, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	case cmd == root:
		// cobra's own faults, all of them about the words before a verb.
		(&usageError{faults: []error{err}}).print(p.stderr, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(p.stderr, "%s: %v\n", cmd.CommandPath(), err)
		return exitFailed
	}
}

// errReported ends a verb that has said itself what is wrong.
var errReported = errors.New("reported")

// exitError ends a verb that has said itself what is wrong, and whose exit codes are not those above.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is everything that is wrong with an invocation.
type usageError struct {
	faults []error
}

func (e *usageError) Error() string { return errors.Join(e.faults...).Error() }

func (e *usageError) print(w io.Writer, path string) {
	for _, line := range strings.Split(e.Error(), "\n") {
		fmt.Fprintf(w, "%s: %s\n", path, line)
	}
	fmt.Fprintf(w, "%q lists the flags\n", path+" --help")
}

func (p *program) root() *cobra.Command {
	root := p.group("holdfast", "a session store that survives the loss of any node")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SilenceErrors, root.SilenceUsage = true, true
	root.AddCommand(
		p.serverVerb(), p.devVerb(),
		p.clusterGroup(), p.sessionsGroup(), p.eventsGroup(), p.cleanupVerb(),
		p.keysGroup(), p.clusterKeyGroup(), p.snapshotGroup(),
		p.checkVerb(), p.doctorVerb(), p.benchVerb(), p.versionVerb(),
		p.compactVerb(), p.healVerb(), p.recoverVerb(),
	)
	return root
}
