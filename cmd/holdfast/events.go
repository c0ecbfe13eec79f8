package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/session"
)

func (p *program) eventsGroup() *cobra.Command {
	cmd := p.group("events", "look at what happens to sessions")
	cmd.AddCommand(p.eventsTailVerb())
	return cmd
}

// eventView is what a line shows of the API's event object.
type eventView struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Time      time.Time `json:"time"`
	SessionID string    `json:"session_id"`
	UserID    string    `json:"user_id"`
	Reason    string    `json:"reason"`
}

// tail is what events tail was told.
type tail struct {
	remote
	user, session, what, since string
	once                       bool
}

func (t *tail) flags(f *pflag.FlagSet) {
	t.remote.flags(f)
	f.StringVar(&t.user, "user-id", "", "only of this user")
	f.StringVar(&t.session, "session-id", "", "only of this session")
	f.StringVar(&t.what, "type", "", "only of this type: created, updated, refreshed, rotated, revoked, expired, evicted or suspicious")
	f.StringVar(&t.since, "since", "", "begin after the event of this id, with what is kept; 0-0 is the oldest")
	f.BoolVar(&t.once, "no-follow", false, "print what is kept, and end")
}

func (t *tail) check() error {
	faults := []error{t.remote.check()}
	if t.what != "" {
		_, err := session.ParseEventType(t.what)
		faults = append(faults, named("type", err))
	}
	if t.since != "" {
		_, err := session.ParseEventID(t.since)
		faults = append(faults, named("since", err))
	}
	if t.session != "" {
		_, err := session.ParseID(t.session)
		faults = append(faults, named("session-id", err))
	}
	return errors.Join(faults...)
}

// named says which flag a fault of the domain is about.
func named(flag string, err error) error {
	if fault, ok := errors.AsType[*session.Error](err); ok {
		return fmt.Errorf("%s: %s", flag, fault.Detail)
	}
	return err
}

// path asks for the events; more are further parameters.
func (t *tail) path(more url.Values) string {
	if more == nil {
		more = url.Values{}
	}
	for name, value := range map[string]string{"user_id": t.user, "session_id": t.session, "type": t.what} {
		if value != "" {
			more.Set(name, value)
		}
	}
	return "/api/events/?" + more.Encode()
}

func (p *program) eventsTailVerb() *cobra.Command {
	t := &tail{}
	return p.command(verb{
		use: "tail", short: "follow what happens to sessions, on any node (service key)",
		long: `Follows what happens to sessions, one line an event, until it is interrupted. When a node goes away the next of
--addr is asked, from where the last one stopped: no event is missed, none is printed twice.`,
		flags: t.flags, check: t.check,
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := interruptible(ctx)
			defer stop()
			if t.once {
				return p.printKept(ctx, t)
			}
			return p.followEvents(ctx, t)
		},
	})
}

// printKept prints what is kept, page by page.
func (p *program) printKept(ctx context.Context, t *tail) error {
	for after := t.since; ; {
		query := url.Values{"limit": {"1000"}}
		if after != "" {
			query.Set("after", after)
		}
		var page struct {
			Events []json.RawMessage `json:"events"`
			Next   string            `json:"next"`
		}
		if err := t.ask(ctx, http.MethodGet, t.path(query), &page); err != nil {
			return err
		}
		for _, raw := range page.Events {
			if _, err := p.printEvent(t.output, raw); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		after = page.Next
	}
}

// printEvent prints one line and returns the event's id. With JSON the object is printed as it came.
func (p *program) printEvent(output string, raw []byte) (id string, err error) {
	var e eventView
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", fmt.Errorf("an event does not read: %w", err)
	}
	if output == outputJSON {
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return "", err
		}
		_, err = fmt.Fprintf(p.stdout, "%s\n", line.Bytes())
		return e.ID, err
	}
	user := e.UserID
	if user == "" {
		user = "-"
	}
	_, err = fmt.Fprintf(p.stdout, "%s  %-12s %-10s %s  %s  %s\n", e.Time.Format("2006-01-02T15:04:05.000Z"), printable(e.ID),
		printable(e.Type), printable(e.SessionID), printable(user), printable(e.Reason))
	return e.ID, err
}
