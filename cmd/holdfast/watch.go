package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	// watchPatience is how long one node may take to answer before the next is asked.
	watchPatience = 3 * time.Second
	// maxWatchAddrs bounds the addresses that are learned, and watchHistory the changes that a screen shows.
	maxWatchAddrs = 64
	watchHistory  = 10
)

// watchFlags are the flags of cluster watch.
type watchFlags struct {
	remote
	interval time.Duration
}

func (w *watchFlags) flags(f *pflag.FlagSet) {
	w.remote.flags(f)
	f.DurationVar(&w.interval, "interval", time.Second, "from one look to the next")
}

func (w *watchFlags) check() error {
	faults := []error{w.remote.check()}
	if w.interval < 10*time.Millisecond || w.interval > time.Hour {
		faults = append(faults, fmt.Errorf("interval %s: want 10ms to 1h", w.interval))
	}
	return errors.Join(faults...)
}

func (p *program) clusterWatchVerb() *cobra.Command {
	w := &watchFlags{}
	return p.command(verb{
		use: "watch", short: "follow the state of the cluster (operator key)",
		long: "Shows the state of the cluster until it is interrupted: on a screen the table of cluster status, refreshed in place;\n" +
			"elsewhere, and with -o json, one line for each change. When the node that it asks goes away, the next of --addr is\n" +
			"asked, or one of the members that it has learned of.",
		flags: w.flags, check: w.check,
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			return p.watch(ctx, w)
		},
	})
}

// watched is what is known of the cluster from one look to the next.
type watched struct {
	given    []string    // addresses, as the operator named them
	learned  []string    // from members that have been seen
	from     string      // who answered last
	status   *api.Status // nil: nobody has answered the last time
	seen     bool        // somebody has answered once
	silence  string      // why nobody has
	recently []string    // changes, for a screen
	drawn    int         // lines on the screen that the next picture replaces
}

// watch looks again and again until ctx ends. Its error is a refusal: nothing that time would mend.
func (p *program) watch(ctx context.Context, w *watchFlags) error {
	seen := &watched{given: w.addrs}
	screen := isTerminal(p.stdout) && w.output == outputTable
	for {
		before := *seen
		err := seen.look(ctx, w.key)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		changes := before.changes(seen)
		switch now := time.Now(); {
		case screen:
			err = p.drawWatch(seen, changes, now)
		case len(changes) > 0:
			err = p.printChanges(w.output, seen, changes, now)
		}
		if err != nil {
			return err
		}
		if !pause(ctx, w.interval) {
			return nil
		}
	}
}

// look asks one node after the other, the last one that answered first. An answer without a leader counts only if no
// other node knows better: who is cut off knows of none.
func (w *watched) look(ctx context.Context, key string) error {
	var faults []error
	var headless *api.Status
	var headlessFrom string
	r := &remote{key: key}
	for _, addr := range w.order() {
		var status api.Status
		asking, cancel := context.WithTimeout(ctx, watchPatience)
		err := r.sendOne(asking, addr, http.MethodGet, "/cluster/status", nil, &status)
		cancel()
		if refused, ok := errors.AsType[*refusal](err); ok && refused.status/100 == 4 {
			return err
		}
		switch {
		case err != nil:
			faults = append(faults, err)
		case status.Leader == "":
			if headless == nil {
				headless, headlessFrom = &status, addr
			}
		default:
			w.answered(addr, &status)
			return nil
		}
	}
	if headless != nil {
		w.answered(headlessFrom, headless)
		return nil
	}
	w.status, w.silence = nil, oneLine(faults).Error()
	return nil
}

func (w *watched) order() []string {
	order := slices.Concat(w.given, w.learned)
	if i := slices.Index(order, w.from); i > 0 {
		order = slices.Concat(order[i:i+1], order[:i], order[i+1:])
	}
	return order
}

// answered keeps an answer, and the addresses of members in it, for when the node that gave it is gone. They speak what
// it speaks, http or https.
func (w *watched) answered(addr string, status *api.Status) {
	w.from, w.status, w.seen, w.silence = addr, status, true, ""
	scheme := "http://"
	if strings.HasPrefix(addr, "https://") {
		scheme = "https://"
	}
	var learned []string
	for _, m := range status.Members {
		base, err := baseURL(scheme + m.HTTPAddr)
		if err != nil || len(learned) == maxWatchAddrs { // such as ":8080", which says nothing to others
			continue
		}
		known := slices.ContainsFunc(w.given, func(given string) bool {
			named, _ := baseURL(given) // was checked as a flag
			return named == base
		})
		if !known {
			learned = append(learned, base)
		}
	}
	if len(learned) > 0 {
		w.learned = learned
	}
}

// printChanges writes one line a change, or one object for all changes of one look.
func (p *program) printChanges(output string, w *watched, changes []string, now time.Time) error {
	at := now.UTC().Format("2006-01-02T15:04:05.000Z")
	if output == outputJSON {
		line := struct {
			Time    string      `json:"time"`
			From    string      `json:"from,omitempty"`
			Changes []string    `json:"changes"`
			Status  *api.Status `json:"status"`
		}{at, w.from, changes, w.status}
		if w.status == nil {
			line.From = ""
		}
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(line)
	}
	for _, change := range changes {
		if _, err := fmt.Fprintf(p.stdout, "%s  %s\n", at, change); err != nil {
			return err
		}
	}
	return nil
}

// drawWatch replaces the picture on a screen.
func (p *program) drawWatch(w *watched, changes []string, now time.Time) error {
	for _, change := range changes {
		w.recently = append(w.recently, now.Format(time.TimeOnly)+"  "+change)
	}
	w.recently = w.recently[max(0, len(w.recently)-watchHistory):]
	var picture bytes.Buffer
	if w.status == nil {
		fmt.Fprintf(&picture, "%s  no node answers: %s\n", now.Format(time.TimeOnly), printable(w.silence))
	} else {
		fmt.Fprintf(&picture, "%s  as %s sees it\n\n", now.Format(time.TimeOnly), w.from)
		(&program{stdout: &picture}).printStatus(*w.status)
	}
	fmt.Fprintf(&picture, "\n%s\n", strings.Join(w.recently, "\n"))
	up := ""
	if w.drawn > 0 {
		up = fmt.Sprintf("\x1b[%dA", w.drawn)
	}
	w.drawn = bytes.Count(picture.Bytes(), []byte("\n"))
	_, err := fmt.Fprintf(p.stdout, "%s\r\x1b[J%s%s%s", up, wrapOff, picture.Bytes(), wrapOn)
	return err
}
