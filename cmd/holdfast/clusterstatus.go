package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
)

func (p *program) clusterGroup() *cobra.Command {
	cmd := p.group("cluster", "look at a running cluster, and change it")
	cmd.AddCommand(p.clusterStatusVerb(), p.clusterWatchVerb())
	for _, v := range memberVerbs() {
		cmd.AddCommand(p.memberVerb(v))
	}
	cmd.AddCommand(p.transferVerb())
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
		rows = append(rows, []any{
			m.ID, m.State, voice(m), m.Zone, m.HTTPAddr, m.ClusterAddr, fmt.Sprintf("%s/%d", m.Version, m.FeatureLevel),
			m.AppliedIndex, lagText(m), contactText(m), diskText(m), m.StateHash, healthText(m),
		})
	}
	writeTable(p.stdout, []any{"node", "state", "voter", "zone", "http", "cluster", "version/level", "applied", "lag", "fresh", "disk free", "state hash", "healthy"}, rows)
	fmt.Fprintf(p.stdout, "\ncluster %s, term %d, leader %s, feature level %d\n%s\n", s.Cluster, s.Term, leaderName(s), s.FeatureLevel, verdict(s))
	if keysDiffer(s) {
		fmt.Fprintln(p.stdout, "warning: the nodes' keys files differ")
	}
	if policiesDiffer(s) {
		fmt.Fprintln(p.stdout, "warning: the nodes were started with different flags for sessions or logins")
	}
	if clusterKeysDiffer(s) {
		fmt.Fprintln(p.stdout, "warning: the nodes' cluster keys differ; holdfast cluster-key rotate goes on with a rotation that was broken off")
	}
}

func contactText(m api.Member) string {
	if m.LastContactMS < 0 {
		return "never"
	}
	return (time.Duration(m.LastContactMS) * time.Millisecond).String()
}

func lagText(m api.Member) string {
	if m.Lag == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", m.Lag, time.Duration(m.LagMS)*time.Millisecond)
}

func diskText(m api.Member) string {
	if m.DiskSizeBytes == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB (%d%%)", float64(m.DiskFreeBytes)/(1<<30), 100*m.DiskFreeBytes/m.DiskSizeBytes)
}

func healthText(m api.Member) string {
	switch {
	case m.Healthy && m.HealthySince != "":
		return "since " + m.HealthySince[:min(19, len(m.HealthySince))] + "Z"
	case m.Healthy:
		return "yes"
	case m.Detail != "":
		return "no: " + m.Detail
	default:
		return "no"
	}
}

func voice(m api.Member) string {
	switch {
	case m.Voter:
		return "yes"
	case m.Demoted:
		return "no (demoted)"
	case m.Role == cluster.RoleReader:
		return "no (reader)"
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

// policiesDiffer says whether two members that answer were started with different flags for sessions or logins.
func policiesDiffer(s api.Status) bool {
	return membersDiffer(s, func(m api.Member) string { return m.PolicyDigest })
}

// clusterKeysDiffer says whether two members that answer believe or sign with different cluster keys: a rotation is under
// way, or was broken off.
func clusterKeysDiffer(s api.Status) bool {
	return membersDiffer(s, func(m api.Member) string { return strings.Join(m.ClusterKeys, " ") })
}

// membersDiffer leaves out members that do not answer, and those of an earlier release, which do not say.
func membersDiffer(s api.Status, of func(api.Member) string) bool {
	said := make(map[string]bool)
	for _, m := range s.Members {
		if text := of(m); text != "" && m.State != stateDown {
			said[text] = true
		}
	}
	return len(said) > 1
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
