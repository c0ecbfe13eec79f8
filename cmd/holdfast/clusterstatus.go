package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfastdb/holdfast/api"
)

func (p *program) clusterGroup() *cobra.Command {
	cmd := p.group("cluster", "look at a running cluster")
	cmd.AddCommand(p.clusterStatusVerb(), p.clusterWatchVerb())
	return cmd
}

func (p *program) clusterStatusVerb() *cobra.Command {
	r := &remote{}
	return p.command(verb{
		use: "status", short: "who leads, who is well, and how many nodes may still be lost (operator key)",
		flags: r.flags, check: r.check,
		run: func(ctx context.Context, _ []string) error {
			var status api.Status
			if err := r.ask(ctx, http.MethodGet, "/cluster/status", &status); err != nil {
				return err
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, status)
			}
			p.printStatus(status)
			return nil
		},
	})
}

func (p *program) printStatus(s api.Status) {
	rows := make([][]any, 0, len(s.Members))
	for _, m := range s.Members {
		contact := "never"
		if m.LastContactMS >= 0 {
			contact = (time.Duration(m.LastContactMS) * time.Millisecond).String()
		}
		health := "yes"
		if !m.Healthy {
			health = "no"
			if m.Detail != "" {
				health += ": " + m.Detail
			}
		}
		rows = append(rows, []any{m.ID, m.State, voice(m), m.HTTPAddr, m.ClusterAddr, m.Version, m.AppliedIndex, m.Lag, contact, m.StateHash, health})
	}
	writeTable(p.stdout, []any{"node", "state", "voter", "http", "cluster", "version", "applied", "lag", "fresh", "state hash", "healthy"}, rows)
	fmt.Fprintf(p.stdout, "\ncluster %s, term %d, leader %s\n%s\n", s.Cluster, s.Term, leaderName(s), verdict(s))
	if keysDiffer(s) {
		fmt.Fprintln(p.stdout, "warning: the nodes' keys files differ")
	}
}

func voice(m api.Member) string {
	if m.Voter {
		return "yes"
	}
	return "no"
}

func leaderName(s api.Status) string {
	if s.Leader == "" {
		return "none"
	}
	return printable(s.Leader)
}

// verdict says in one sentence what the cluster can still bear.
func verdict(s api.Status) string {
	nodes := "nodes"
	if s.FailureTolerance == 1 {
		nodes = "node"
	}
	switch {
	case s.Healthy && s.FailureTolerance > 0:
		return fmt.Sprintf("healthy: survives the loss of %d more %s", s.FailureTolerance, nodes)
	case s.Healthy:
		return "healthy, but survives the loss of no node: add nodes"
	case s.Leader == "":
		return "NOT healthy: there is no leader"
	default:
		return fmt.Sprintf("NOT healthy: survives the loss of %d more %s", s.FailureTolerance, nodes)
	}
}

// keysDiffer says whether two members that answer were given different keys files: a key would then be valid on some
// nodes only.
func keysDiffer(s api.Status) bool {
	digest, seen := "", false
	for _, m := range s.Members {
		if m.State == "down" {
			continue
		}
		if seen && m.KeysDigest != digest {
			return true
		}
		digest, seen = m.KeysDigest, true
	}
	return false
}
