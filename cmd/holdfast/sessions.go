package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func (p *program) sessionsGroup() *cobra.Command {
	cmd := p.group("sessions", "look at sessions, and end them")
	cmd.AddCommand(p.sessionsListVerb(), p.sessionsGetVerb(), p.sessionsRevokeVerb(), p.sessionsRevokeUserVerb(), p.sessionsStatsVerb())
	return cmd
}

// statistics is the answer of GET /api/stats/.
type statistics struct {
	Sessions      uint64 `json:"sessions"`
	Users         uint64 `json:"users"`
	Created       uint64 `json:"created"`
	Revoked       uint64 `json:"revoked"`
	Expired       uint64 `json:"expired"`
	Events        uint64 `json:"events"`
	DatabaseBytes int64  `json:"database_bytes"`
}

func (p *program) sessionsStatsVerb() *cobra.Command {
	r := &remote{}
	return p.command(verb{
		use: "stats", short: "how many sessions and users there are, and what became of the others (service key)",
		flags: r.flags, check: r.check,
		run: func(ctx context.Context, _ []string) error {
			var s statistics
			if err := r.ask(ctx, http.MethodGet, "/api/stats/", &s); err != nil {
				return err
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, s)
			}
			writeTable(p.stdout, []any{"sessions", "users", "created", "revoked", "expired", "events", "database"}, [][]any{
				{s.Sessions, s.Users, s.Created, s.Revoked, s.Expired, s.Events, fmt.Sprintf("%.1f MiB", float64(s.DatabaseBytes)/(1<<20))},
			})
			return nil
		},
	})
}

func (p *program) cleanupVerb() *cobra.Command {
	r := &remote{}
	return p.command(verb{
		use: "cleanup", short: "remove what has expired now, instead of at the next sweep (operator key)",
		flags: r.flags, check: r.check,
		run: func(ctx context.Context, _ []string) error {
			var swept struct {
				Expired uint64 `json:"expired"`
			}
			if err := r.ask(ctx, http.MethodPost, "/cluster/sweep", &swept); err != nil {
				return err
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, swept)
			}
			_, err := fmt.Fprintf(p.stdout, "%d expired session(s) removed\n", swept.Expired)
			return err
		},
	})
}
