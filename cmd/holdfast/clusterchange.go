package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api"
)

// memberVerb is a verb that changes the membership.
type memberVerb struct {
	action api.Action
	short  string
	// will and did say what it does to NODE.
	will, did string
}

func memberVerbs() []memberVerb {
	return []memberVerb{
		{api.ActionPromote, "give a member its vote (operator key)", "gives %s a vote", "%s has a vote"},
		{api.ActionDemote, "take a member's vote; it goes on serving reads (operator key)", "takes the vote of %s", "%s has no vote"},
		{api.ActionDrain, "drain a member and end its process, as SIGTERM does; it stays a member (operator key)", "drains %s and ends its process", "%s is draining"},
		{api.ActionRemove, "remove a member for good; its process stops (operator key)", "removes %s from the cluster", "%s was removed"},
	}
}

func (p *program) memberVerb(v memberVerb) *cobra.Command {
	r := &remote{}
	var force, dryRun bool
	return p.command(verb{
		use: string(v.action) + " NODE", short: v.short, args: 1,
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			changeFlags(f, &force, &dryRun)
		},
		check: r.check,
		run: func(ctx context.Context, args []string) error {
			method, path := http.MethodPost, "/cluster/nodes/"+url.PathEscape(args[0])+"/"+string(v.action)
			if v.action == api.ActionRemove {
				method, path = http.MethodDelete, "/cluster/nodes/"+url.PathEscape(args[0])
			}
			return p.changeMember(ctx, r, change{method, path, nil, force, dryRun, fmt.Sprintf(v.will, args[0]), fmt.Sprintf(v.did, args[0])})
		},
	})
}

func changeFlags(f *pflag.FlagSet, force, dryRun *bool) {
	f.BoolVar(force, "force", false, "do it though it loses the quorum")
	f.BoolVar(dryRun, "dry-run", false, "only say what it would do")
}

func (p *program) transferVerb() *cobra.Command {
	r := &remote{}
	var to string
	var dryRun bool
	return p.command(verb{
		use: string(api.ActionTransfer), short: "hand the leadership to the most caught-up healthy voter, or to one that is named (operator key)",
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			f.StringVar(&to, "to", "", "the node that is to lead")
			f.BoolVar(&dryRun, "dry-run", false, "only say what it would do")
		},
		check: r.check,
		run: func(ctx context.Context, _ []string) error {
			body := map[string]string{}
			will, did := "hands the leadership over", "the leadership was handed over"
			if to != "" {
				body["to"], will, did = to, "hands the leadership to "+to, to+" leads"
			}
			return p.changeMember(ctx, r, change{http.MethodPost, "/cluster/transfer-leadership", body, false, dryRun, will, did})
		},
	})
}

// change is one request that changes the membership.
type change struct {
	method, path  string
	body          any
	force, dryRun bool
	will, did     string
}

// changeMember says what the change will do to the failure tolerance, and then does it.
func (p *program) changeMember(ctx context.Context, r *remote, c change) error {
	query := url.Values{}
	if c.force {
		query.Set("force", "true")
	}
	var effect api.MembershipEffect
	if c.dryRun || r.output == outputTable {
		query.Set("dry_run", "true")
		if err := r.send(ctx, c.method, c.path+"?"+query.Encode(), c.body, &effect); err != nil {
			return err
		}
		if r.output == outputTable {
			fmt.Fprintf(p.stdout, "%s: %s\n", printable(c.will), tolerance(effect))
		}
	}
	if !c.dryRun {
		query.Del("dry_run")
		// What a repetition through the next node says may be of the first.
		if err := r.send(ctx, c.method, c.path+"?"+query.Encode(), c.body, &effect); err != nil {
			return err
		}
	}
	if r.output == outputJSON {
		return writeJSON(p.stdout, effect)
	}
	if !c.dryRun {
		done := "done: " + c.did
		if !effect.Changed {
			done = "nothing to do: " + c.did
		}
		fmt.Fprintln(p.stdout, printable(done))
	}
	return nil
}

// tolerance says what a change does to how many nodes may be lost.
func tolerance(e api.MembershipEffect) string {
	return fmt.Sprintf("%s before, %s after; %s", voters(e.VotersBefore), voters(e.Voters), survives(e.FailureToleranceBefore, e.FailureTolerance))
}

func voters(n int) string {
	if n == 1 {
		return "1 voter"
	}
	return fmt.Sprintf("%d voters", n)
}

func survives(before, after int) string {
	switch {
	case after < 0:
		return "the cluster LOSES ITS QUORUM and takes no write until enough voters are back"
	case after == 0:
		return fmt.Sprintf("the cluster then survives the loss of no node (%d now)", max(0, before))
	default:
		return fmt.Sprintf("the cluster then survives the loss of %d (%d now)", after, max(0, before))
	}
}
