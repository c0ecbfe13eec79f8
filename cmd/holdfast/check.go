package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api"
)

// Exit codes of monitoring plugins (monitoring-plugins.org/doc/guidelines.html). They are not those of other verbs.
const (
	pluginOK = iota
	pluginWarning
	pluginCritical
	pluginUnknown
)

var pluginWords = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// checkFlags are the flags of check.
type checkFlags struct {
	remote
	timeout time.Duration
	live    bool
	limits  limits
}

func (c *checkFlags) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&c.addrs, "addr", []string{defaultAddr}, "nodes to look at, HOST:PORT or a URL, separated by commas")
	f.StringVar(&c.key, "key", "", "operator key, for what only /cluster/status knows; better in "+envName("key"))
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "for the whole check")
	f.BoolVar(&c.live, "live", false, "ask only whether the process of each --addr runs, as a container's health check must: never for the quorum")
	c.limits.flags(f)
}

func (c *checkFlags) check() error {
	faults := []error{c.limits.check()}
	if len(c.addrs) == 0 {
		faults = append(faults, errors.New("addr: at least one node is needed"))
	}
	for _, addr := range c.addrs {
		_, err := baseURL(addr)
		faults = append(faults, err)
	}
	if c.timeout <= 0 {
		faults = append(faults, errors.New("timeout must be positive"))
	}
	return errors.Join(faults...)
}

func (p *program) checkVerb() *cobra.Command {
	c := &checkFlags{}
	return p.command(verb{
		use: "check", short: "one line and an exit code for a monitoring system",
		long: "Looks at nodes as a monitoring plugin does: one line with figures behind a bar, exit code 0 OK, 1 WARNING, 2 CRITICAL,\n" +
			"3 UNKNOWN (wrong usage, or a key that is refused). Without a key it asks the health pages and /metrics of each --addr;\n" +
			"with an operator key it also asks one of them for the state of the whole cluster.",
		flags: c.flags, check: c.check, run: func(ctx context.Context, _ []string) error { return p.check(ctx, c) },
		misused: func(faults []error) error {
			return p.pluginLine(pluginUnknown, oneLine(faults).Error()+`; "holdfast check --help" lists the flags`, nil)
		},
	})
}

func (p *program) check(ctx context.Context, c *checkFlags) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.live {
		return p.sayPlugin(c.lifeless(ctx), nil, nil)
	}
	seen, unknown := c.look(ctx)
	findings, figures := c.limits.judge(seen, time.Now())
	return p.sayPlugin(findings, figures, unknown)
}

// lifeless lists the nodes whose /livez does not answer 200. A node that has lost the quorum is alive: whoever ends it
// because of that takes from the cluster the vote that it waits for.
func (c *checkFlags) lifeless(ctx context.Context) (findings []finding) {
	for _, addr := range c.addrs {
		base, err := baseURL(addr)
		if err == nil {
			var answer *http.Response
			if answer, _, err = fetch(ctx, base+"/livez"); err == nil && answer.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", answer.StatusCode)
			}
		}
		if err != nil {
			findings = append(findings, finding{level: bad, what: "live", text: fmt.Sprintf("%s: /livez: %v", addr, err)})
			continue
		}
		findings = append(findings, finding{what: "live", text: addr + " is alive"})
	}
	return findings
}

// look asks every node for what it shows to anybody, and with a key one of those that live for the whole cluster. The
// unknown error is of a key, or a page, that is refused: that says nothing about the nodes.
func (c *checkFlags) look(ctx context.Context) (seen sight, unknown error) {
	probing, cancel := context.WithTimeout(ctx, c.timeout/2)
	defer cancel()
	seen.nodes = probe(probing, c.addrs)
	asked := remote{key: c.key}
	for _, n := range seen.nodes {
		if n.fault == nil {
			asked.addrs = append(asked.addrs, n.addr)
		}
	}
	if c.key == "" || len(asked.addrs) == 0 {
		return seen, nil
	}
	var status api.Status
	err := asked.ask(ctx, http.MethodGet, "/cluster/status", &status)
	refused, answered := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		seen.status = &status
	case answered && refused.status/100 == 4:
		return seen, err
	default:
		seen.statusFault = err
	}
	return seen, nil
}

// sayPlugin prints what is wrong, the worst first, or what is well.
func (p *program) sayPlugin(findings []finding, figures []figureOf, unknown error) error {
	var texts []string
	for l := bad; l > fine; l-- {
		for _, f := range findings {
			if f.level == l {
				texts = append(texts, f.text)
			}
		}
	}
	code := int(worst(findings))
	if unknown != nil {
		texts = append(texts, unknown.Error())
		if code == pluginOK {
			code = pluginUnknown
		}
	}
	if len(texts) == 0 {
		for _, f := range findings {
			texts = append(texts, f.text)
		}
	}
	return p.pluginLine(code, strings.Join(texts, "; "), figures)
}

func (p *program) pluginLine(code int, text string, figures []figureOf) error {
	// A bar would begin the figures, and a line's end the text that most systems do not show.
	text = strings.NewReplacer("|", "/", "\n", " ").Replace(text)
	line := fmt.Sprintf("HOLDFAST %s: %s", pluginWords[code], printable(text))
	for i, f := range figures {
		if i == 0 {
			line += " |"
		}
		line += " " + f.String()
	}
	if _, err := fmt.Fprintln(p.stdout, line); err != nil {
		return exitError(pluginUnknown)
	}
	if code == pluginOK {
		return nil
	}
	return exitError(code)
}
