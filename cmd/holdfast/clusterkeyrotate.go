package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api"
)

const (
	// rotateWait is how long a step is tried by default: a node may be restarting.
	rotateWait = 10 * time.Minute
	// rotatePause is between two tries.
	rotatePause = time.Second
)

func (p *program) rotateVerb() *cobra.Command {
	r, wait, resume := &remote{}, rotateWait, false
	return p.command(verb{
		use: "rotate", short: "give the running cluster a new cluster key in place of its old one (operator key)",
		long: "Has every node believe a new key, then sign with it, then forget the old one. Each node rewrites its key file first.\n" +
			"A rotation that was broken off goes on where it stopped. No key is ever printed.",
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			f.DurationVar(&wait, "wait", rotateWait, "how long to wait for nodes that have not made a step; 0 tries each step once")
			f.BoolVar(&resume, "resume", false, "only go on with a rotation that was broken off; begin none")
		},
		check: func() error {
			if wait < 0 {
				return errors.Join(r.check(), errors.New("wait must not be negative"))
			}
			return r.check()
		},
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			rotation := &keyRotation{program: p, remote: r, until: time.Now().Add(wait)}
			if resume {
				begun, err := rotation.begun(ctx)
				if err != nil || !begun {
					return err
				}
			}
			return rotation.run(ctx)
		},
	})
}

// keyRotation is one run of the verb.
type keyRotation struct {
	program *program
	remote  *remote
	until   time.Time

	said string // the last line, which is not repeated
	done rotated
}

// rotated is what -o json prints.
type rotated struct {
	Key      string        `json:"key"`
	Finished bool          `json:"finished"`
	Steps    []api.KeyStep `json:"steps"`          // the last answer to each
	Left     string        `json:"left,omitempty"` // why it is not finished
}

// keySteps are the steps in their order: what each does, and what holds while it is not done.
var keySteps = []struct{ step, does, meanwhile string }{
	{"install", "believes key %s, too", "The old key stays in use and nothing is interrupted"},
	{"use", "signs with key %s", "Both keys are valid and nothing is interrupted"},
	{"remove", "believes key %s alone", "The old key is still valid"},
}

func (k *keyRotation) run(ctx context.Context) error {
	var err error
	for _, s := range keySteps {
		if err = k.make(ctx, s.step, s.does); err != nil {
			err = fmt.Errorf("the rotation is not finished, step %s: %w. %s; to go on, run this again with --resume", s.step, err, s.meanwhile)
			k.done.Left = err.Error()
			break
		}
	}
	k.done.Finished = err == nil
	if k.remote.output == outputJSON {
		return errors.Join(err, writeJSON(k.program.stdout, k.done))
	}
	if err == nil {
		fmt.Fprintf(k.program.stdout, "done: key %s is the only one\n", printable(k.done.Key))
	}
	return err
}

// begun says whether any node has more than one key, or another than the others, and tells if not.
func (k *keyRotation) begun(ctx context.Context) (bool, error) {
	var status api.Status
	if err := k.remote.ask(ctx, http.MethodGet, "/cluster/status", &status); err != nil {
		return false, err
	}
	if clusterKeysDiffer(status) || slices.ContainsFunc(status.Members, func(m api.Member) bool { return len(m.ClusterKeys) > 1 }) {
		return true, nil
	}
	k.done.Finished, k.done.Steps = true, []api.KeyStep{}
	for _, m := range status.Members {
		if len(m.ClusterKeys) > 0 {
			k.done.Key = m.ClusterKeys[0]
		}
	}
	if k.remote.output == outputJSON {
		return false, writeJSON(k.program.stdout, k.done)
	}
	fmt.Fprintf(k.program.stdout, "no rotation to go on with: every node that answers has key %s alone\n", printable(k.done.Key))
	return false, nil
}

// make tries a step until every member has made it.
func (k *keyRotation) make(ctx context.Context, step, does string) error {
	at := len(k.done.Steps)
	for {
		var made api.KeyStep
		err := k.remote.send(ctx, http.MethodPost, "/cluster/key/"+step, nil, &made)
		if err == nil {
			k.done.Key, k.done.Steps = made.Key, append(k.done.Steps[:at], made)
			if len(made.Missing) == 0 {
				k.say("%-8s every node "+does+" (%s)", step, made.Key, listed(made.Done))
				return nil
			}
			err = missingNodes(made.Missing)
		} else if refused, answered := errors.AsType[*refusal](err); answered && refused.status != http.StatusConflict {
			return err
		}
		if !time.Now().Add(rotatePause).Before(k.until) {
			return err
		}
		k.say("%-8s waits: %v", step, err)
		if !pause(ctx, rotatePause) {
			return err
		}
	}
}

func (k *keyRotation) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if k.remote.output == outputTable && line != k.said {
		fmt.Fprintln(k.program.stdout, line)
	}
	k.said = line
}

func missingNodes(missing []api.KeyMissing) error {
	var texts []string
	for _, m := range missing {
		texts = append(texts, printable(m.ID+" "+m.Reason))
	}
	return errors.New(strings.Join(texts, ", "))
}
