package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// doctorPatience bounds one thing that doctor looks at over a network.
const doctorPatience = 3 * time.Second

// doctorFlags are the flags of doctor: a server's, to look at where it is to run, and a client's, to look at a cluster.
type doctorFlags struct {
	remote
	server Config
}

func (d *doctorFlags) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&d.addrs, "addr", nil, "nodes of a running cluster, HOST:PORT or a URL, separated by commas")
	f.StringVar(&d.key, "key", "", "operator key, for what only /cluster/status knows; better in "+envName("key"))
	f.StringVarP(&d.output, "output", "o", outputTable, "table or json")
	d.server.flags(f)
}

// local says whether there is something to look at on this machine.
func (d *doctorFlags) local() bool {
	c := &d.server
	return c.Config != "" || c.DataDir != "" || c.NodeID != "" || c.ClusterKeyFile != "" || c.KeysFile != "" || c.TLSCert != ""
}

func (d *doctorFlags) check() error {
	faults := []error{mustChooseOne("output", d.output, outputTable, outputJSON)}
	for _, addr := range d.addrs {
		_, err := baseURL(addr)
		faults = append(faults, err)
	}
	if !d.local() && len(d.addrs) == 0 {
		faults = append(faults, errors.New("say where to look: a server's flags, or --config, for this machine; --addr for a running cluster"))
	}
	return errors.Join(faults...)
}

func (p *program) doctorVerb() *cobra.Command {
	d := &doctorFlags{}
	return p.command(verb{
		use: "doctor", short: "look for what goes wrong in practice, and say what to do",
		long: "Looks at this machine as a server with these flags (or --config, or HOLDFAST_…) would find it, and at the running cluster\n" +
			"that --addr names; one line for each thing, ok, warn or FAIL, with what to do. It changes nothing, and may be run\n" +
			"while the server runs; to time the disk it writes a small file in the data directory and removes it. Ends with 1 if\n" +
			"something is a FAIL. No secret is printed.",
		flags: d.flags, check: d.check,
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			var findings []finding
			if d.local() {
				findings = newClinic(d.server).examine(ctx)
			}
			if len(d.addrs) > 0 {
				findings = append(findings, d.examineCluster(ctx)...)
			}
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return p.printFindings(d.output, findings)
		},
	})
}

var levelWords = [...]string{fine: "ok", doubtful: "warn", bad: "FAIL"}

// printFindings prints a line for each, and how many are not well.
func (p *program) printFindings(output string, findings []finding) error {
	counts := make(map[level]int)
	for _, f := range findings {
		counts[f.level]++
	}
	var err error
	if output == outputJSON {
		err = writeJSON(p.stdout, findingsObject(findings))
	} else {
		for _, f := range findings {
			line := fmt.Sprintf("%-4s  %-12s  %s", levelWords[f.level], f.what, oneLine([]error{errors.New(f.text)}))
			if f.remedy != "" {
				line += "; to do: " + f.remedy
			}
			fmt.Fprintln(p.stdout, printable(line))
		}
		_, err = fmt.Fprintf(p.stdout, "\n%d ok, %d warn, %d FAIL\n", counts[fine], counts[doubtful], counts[bad])
	}
	if err == nil && counts[bad] > 0 {
		return errReported
	}
	return err
}

type findingView struct {
	Level  string `json:"level"` // ok, warn or fail
	What   string `json:"what"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func findingsObject(findings []finding) any {
	views := make([]findingView, len(findings))
	for i, f := range findings {
		views[i] = findingView{[...]string{fine: "ok", doubtful: "warn", bad: "fail"}[f.level], f.what, f.text, f.remedy}
	}
	return struct {
		OK       bool          `json:"ok"`
		Findings []findingView `json:"findings"`
	}{worst(findings) != bad, views}
}
