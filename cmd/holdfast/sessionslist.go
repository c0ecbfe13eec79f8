package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/session"
)

// sessionView is what a table shows of the API's session object.
type sessionView struct {
	ID           string    `json:"id"`
	UserID       string    `json:"user_id"`
	TenantID     string    `json:"tenant_id"`
	Version      uint64    `json:"version"`
	CreatedAt    time.Time `json:"created_at"`
	LastActiveAt time.Time `json:"last_active_at"`
	ExpiresIn    int64     `json:"expires_in"`
	Device       struct {
		IP    string `json:"ip"`
		Name  string `json:"name"`
		Label string `json:"label"`
	} `json:"device"`
}

func (p *program) printSessions(sessions []json.RawMessage) error {
	rows := make([][]any, 0, len(sessions))
	for _, raw := range sessions {
		var s sessionView
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("a session in the answer does not read: %w", err)
		}
		device := s.Device.Label
		if device == "" {
			device = s.Device.Name
		}
		rows = append(rows, []any{
			s.ID, s.UserID, s.TenantID, device, s.Device.IP, s.Version, s.CreatedAt.Format(time.DateTime), s.LastActiveAt.Format(time.DateTime),
			(time.Duration(s.ExpiresIn) * time.Second).String(),
		})
	}
	writeTable(p.stdout, []any{"id", "user", "tenant", "device", "ip", "version", "created", "last active", "expires in"}, rows)
	return nil
}

// sessionsPage is the answer of GET /api/sessions/. The objects are kept as they came.
type sessionsPage struct {
	Sessions []json.RawMessage `json:"sessions"`
	Next     string            `json:"next"`
}

func (p *program) sessionsListVerb() *cobra.Command {
	r := &remote{}
	var user, tenant string
	var limit int
	var all bool
	return p.command(verb{
		use: "list", short: "the live sessions of a user or a tenant, newest first (service key)",
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			f.StringVar(&user, "user-id", "", "whose sessions")
			f.StringVar(&tenant, "tenant-id", "", "the sessions of which tenant")
			f.IntVar(&limit, "limit", 50, "how many at most, 1 to 200")
			f.BoolVar(&all, "all", false, "all of them, page by page")
		},
		check: func() error {
			faults := []error{r.check()}
			if (user == "") == (tenant == "") {
				faults = append(faults, errors.New("user-id or tenant-id is needed, and only one of them"))
			}
			if limit < 1 || limit > 200 {
				faults = append(faults, errors.New("limit must be 1 to 200"))
			}
			return errors.Join(faults...)
		},
		run: func(ctx context.Context, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if user != "" {
				query.Set("user_id", user)
			} else {
				query.Set("tenant_id", tenant)
			}
			sessions := []json.RawMessage{}
			for more := true; more; {
				var page sessionsPage
				if err := r.ask(ctx, http.MethodGet, "/api/sessions/?"+query.Encode(), &page); err != nil {
					return err
				}
				sessions = append(sessions, page.Sessions...)
				more = all && page.Next != ""
				query.Set("cursor", page.Next)
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, sessions)
			}
			return p.printSessions(sessions)
		},
	})
}

func (p *program) sessionsGetVerb() *cobra.Command {
	r := &remote{}
	return p.command(verb{
		use: "get ID", short: "one session (service key)", args: 1,
		flags: r.flags, check: r.check,
		run: func(ctx context.Context, args []string) error {
			var one struct {
				Session json.RawMessage `json:"session"`
			}
			if err := r.ask(ctx, http.MethodGet, sessionPath(args[0]), &one); err != nil {
				return err
			}
			if r.output == outputJSON {
				return writeJSON(p.stdout, one.Session)
			}
			return p.printSessions([]json.RawMessage{one.Session})
		},
	})
}

func sessionPath(id string) string { return "/api/sessions/by-id/" + url.PathEscape(id) + "/" }

// end ends a session. A node that does not know whether it has done so may have: then the session that another node does
// not find is one that has ended.
func (r *remote) end(ctx context.Context, id string) error {
	unknown := false
	var faults []error
	for _, addr := range r.addrs {
		err := r.sendOne(ctx, addr, http.MethodDelete, sessionPath(id), nil, nil)
		refused, answered := errors.AsType[*refusal](err)
		switch {
		case err == nil, answered && refused.status == http.StatusNotFound && unknown:
			return nil
		case answered && refused.status != http.StatusServiceUnavailable, ctx.Err() != nil:
			return err
		}
		// A node that broke off may have done it as well as one that says that it does not know.
		dial, network := errors.AsType[*net.OpError](err)
		reached := !network || dial.Op != "dial"
		unknown = unknown || (!answered && reached) || (answered && refused.Code == string(session.CodeOutcomeUnknown))
		faults = append(faults, err)
	}
	return oneLine(faults)
}

func (p *program) sessionsRevokeVerb() *cobra.Command {
	r := &remote{}
	return p.command(verb{
		use: "revoke ID…", short: "end sessions; those that are gone already are named (service key)", args: 1, more: true,
		flags: r.flags, check: r.check,
		run: func(ctx context.Context, args []string) error {
			result := struct {
				Revoked []string          `json:"revoked"`
				Failed  map[string]string `json:"failed,omitempty"`
			}{Revoked: []string{}, Failed: map[string]string{}}
			var faults []error
			for _, id := range args {
				if err := r.end(ctx, id); err != nil {
					faults = append(faults, fmt.Errorf("%s: %w", printable(id), err))
					result.Failed[id] = err.Error()
					continue
				}
				result.Revoked = append(result.Revoked, id)
			}
			if r.output == outputJSON {
				if err := writeJSON(p.stdout, result); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(p.stdout, "%d session(s) revoked\n", len(result.Revoked))
			}
			if len(faults) > 0 {
				return oneLine(faults)
			}
			return nil
		},
	})
}

func (p *program) sessionsRevokeUserVerb() *cobra.Command {
	r := &remote{}
	var wait bool
	return p.command(verb{
		use: "revoke-user USER", short: "log a user out everywhere; older login tokens count no more (service key)", args: 1,
		flags: func(f *pflag.FlagSet) {
			r.flags(f)
			f.BoolVar(&wait, "wait", false, "wait for all nodes, and say which have not heard of it")
		},
		check: r.check,
		run: func(ctx context.Context, args []string) error {
			path := "/api/sessions/invalidate-all/"
			if wait {
				path += "?wait=all"
			}
			var done struct {
				Revoked   uint64   `json:"revoked"`
				Index     uint64   `json:"index"`
				AppliedOn []string `json:"applied_on"`
				Missing   []string `json:"missing"`
			}
			if err := r.send(ctx, http.MethodPost, path, map[string]string{"user_id": args[0]}, &done); err != nil {
				return err
			}
			if r.output == outputJSON {
				if err := writeJSON(p.stdout, done); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(p.stdout, "%d session(s) revoked\n", done.Revoked)
				if wait {
					fmt.Fprintf(p.stdout, "applied on: %s\n", listed(done.AppliedOn))
				}
			}
			switch {
			case len(done.Missing) > 0:
				return fmt.Errorf("not yet applied on: %s", listed(done.Missing))
			case wait && len(done.AppliedOn) == 0:
				return errors.New("done, but no node could be asked whether it has applied it")
			}
			return nil
		},
	})
}
