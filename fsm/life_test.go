package fsm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// The scripts in testdata are the lives of sessions, to be read. A paragraph is
// a command, a line of dashes, and what comes of it: the answer, and the events
// that every node now holds. Times count from the script's begin. Sessions have
// the names that they were given with as=; on=n2 asks the follower. A line that
// begins with # is for the reader.
//
//	create|login user=U as=NAME [data=JSON] [show=NAME] [carry=KEY] [idem=K] [iat=DURATION]
//	get NAME            patch NAME JSON [if=V] [by=service] [idem=K]      label NAME TEXT
//	refresh NAME        touch NAME [at=DURATION]                          revoke NAME [by=NAME|service]
//	list U              patch-user U JSON                                 everywhere NAME|U [keep]
//	sweep               wait DURATION                                     stats
//	rotate NAME as=NEW  seen NAME ip=ADDRESS ua=AGENT                     provider JTI sid=S|sub=S user=U
//	lag on|off          leader on|off                                     lose-answer
type life struct {
	t      *testing.T
	log    *memLog
	names  map[string]session.Token
	told   int // events that have been shown
	ctx    context.Context
	member *member
	named  map[string]string // the arguments key=value of the command at hand
	plain  []string          // the others
}

func TestLivesOfSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			configure := func(c *Config) {
				if strings.Contains(string(raw), "# At most two sessions a user.") {
					c.Policy.MaxPerUser = 2
				}
				if strings.Contains(string(raw), "# A strange client ends the session.") {
					c.Policy.ClientChange = session.ClientChangeRevoke
				}
			}
			l := life{t: t, log: newTestLog(t, 2, configure), names: map[string]session.Token{}, ctx: t.Context()}
			var now strings.Builder
			for paragraph := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n\n") {
				now.WriteString(l.paragraph(paragraph) + "\n\n")
			}
			got := strings.TrimSuffix(now.String(), "\n")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(raw) && !*update {
				t.Errorf("%s tells another story now; -update writes it down:\n%s", file, got)
			}
		})
	}
}

// paragraph takes its commands and returns it as it should be.
func (l *life) paragraph(text string) string {
	var kept, out []string
	for line := range strings.SplitSeq(text, "\n") {
		if line == "----" {
			break
		}
		kept = append(kept, line)
		if !strings.HasPrefix(line, "#") {
			out = append(out, l.command(line)...)
		}
	}
	if len(out) > 0 {
		kept = append(append(kept, "----"), out...)
	}
	return strings.Join(kept, "\n")
}

func (l *life) command(line string) (out []string) {
	words := strings.Fields(line)
	l.named, l.plain = map[string]string{}, nil
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(key, `{"`) {
			l.named[key] = value
		} else {
			l.plain = append(l.plain, w)
		}
	}
	l.member = l.log.members[0]
	if l.named["on"] == "n2" {
		l.member = l.log.members[1]
	}
	answer, err := l.run(words[0])
	switch {
	case err != nil:
		out = append(out, "refused: "+string(session.CodeOf(err)))
	case answer != "":
		out = append(out, strings.Split(answer, "\n")...)
	}
	events := l.log.members[0].events()
	for _, e := range events[min(l.told, len(events)):] {
		out = append(out, strings.TrimRight(fmt.Sprintf("  event %s %s %s %s", e.ID, e.Type, l.name(e.SessionID), e.Reason), " "))
	}
	l.told = len(events)
	return out
}

// arg is the i-th plain argument.
func (l *life) arg(i int) string {
	if i >= len(l.plain) {
		l.t.Fatalf("argument %d is missing", i+1)
	}
	return l.plain[i]
}

func (l *life) token() session.Token {
	token, ok := l.names[l.arg(0)]
	if !ok {
		l.t.Fatalf("there is no session %q", l.arg(0))
	}
	return token
}

func (l *life) name(id session.ID) string {
	for _, name := range slices.Sorted(maps.Keys(l.names)) {
		if l.names[name].ID == id {
			return name
		}
	}
	return "?"
}

func (l *life) idem() *session.Idempotency {
	key, ok := l.named["idem"]
	if !ok {
		return nil
	}
	i := &session.Idempotency{Body: [32]byte{byte(len(l.plain))}}
	copy(i.Scope[:], key)
	copy(i.Body[1:], l.named["data"]+strings.Join(l.plain, " "))
	return i
}

func (l *life) since(at session.Time) time.Duration { return at.Sub(midnight) }

func (l *life) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

func (l *life) show(name string, v session.View, err error) (string, error) {
	if err != nil {
		return "", err
	}
	s := &v.Session
	out := fmt.Sprintf("%s: v%d %s ends %v", name, s.Version, s.Data, l.since(s.ExpiresAt()))
	if s.Device.Label != "" {
		out += fmt.Sprintf(" label %q", s.Device.Label)
	}
	return out, nil
}

func counted(out session.Outcome, err error) (string, error) {
	return fmt.Sprintf("sessions: %d", out.Count), err
}

// actor is who acts on a session: its own holder, unless by= names another.
func (l *life) actor() session.Actor {
	switch by := l.named["by"]; by {
	case "":
		return holder(l.token())
	case "service":
		return service()
	default:
		return holder(l.names[by])
	}
}

func (l *life) run(verb string) (string, error) {
	switch verb {
	case "create", "login":
		return l.create(verb)
	case "get":
		v, err := l.member.Get(l.ctx, l.token(), session.Client{}, false, session.Consistency{Strong: l.named["read"] == "strong"})
		return l.show(l.arg(0), v, err)
	case "patch":
		p := session.Patch{Actor: l.actor(), Patch: []byte(l.arg(1)), Idempotency: l.idem()}
		if l.named["by"] != "" {
			p.Target = l.token().ID
		}
		_, _ = fmt.Sscan(l.named["if"], &p.IfVersion)
		v, err := l.member.Patch(l.ctx, p)
		return l.show(l.arg(0), v, err)
	case "label":
		label := l.arg(1)
		v, err := l.member.Patch(l.ctx, session.Patch{Actor: l.actor(), Target: l.token().ID, Label: &label})
		return l.show(l.arg(0), v, err)
	case "refresh":
		v, err := l.member.Refresh(l.ctx, session.Refresh{Actor: l.actor()})
		return l.show(l.arg(0), v.View, err)
	case "rotate":
		return l.rotate()
	case "seen":
		_, err := l.member.Get(l.ctx, l.token(), session.Client{IP: l.named["ip"], UserAgent: l.named["ua"]}, true, session.Consistency{})
		if err == nil {
			l.member.sendTouches(l.ctx, l.member.touches.take())
		}
		return "", err
	case "provider":
		r := session.RevokeLogin{Issuer: "iss", SID: l.named["sid"], Subject: l.named["sub"], UserID: l.named["user"]}
		copy(r.TokenID[:], l.arg(0))
		return counted(l.member.RevokeLogin(l.ctx, r))
	case "touch":
		at := l.log.now
		if text, ok := l.named["at"]; ok {
			at = midnight.Add(l.duration(text))
		}
		p := l.log.entry(command(l.t, envelope{Type: cmdTouch}, touchBody{Touches: []wireTouch{{ID: l.token().ID, Active: at}}}))[0]
		return fmt.Sprintf("sessions: %d", p.count), nil
	case "revoke":
		return counted(l.member.Revoke(l.ctx, session.Revoke{Actor: l.actor(), Target: l.token().ID, Idempotency: l.idem()}))
	case "everywhere":
		r := session.RevokeUser{Actor: service(), UserID: l.arg(0)}
		if token, ok := l.names[l.arg(0)]; ok {
			r.Actor, r.UserID = holder(token), ""
		}
		r.KeepCurrent = slices.Contains(l.plain, "keep")
		return counted(l.member.RevokeUser(l.ctx, r))
	case "patch-user":
		return counted(l.member.PatchUser(l.ctx, session.PatchUser{Actor: service(), UserID: l.arg(0), Patch: []byte(l.arg(1))}))
	case "sweep":
		return counted(l.member.Sweep(l.ctx))
	}
	return l.look(verb)
}

func (l *life) create(verb string) (string, error) {
	c := session.Create{Actor: service(), UserID: l.named["user"], Data: []byte(l.named["data"]), Idempotency: l.idem()}
	if verb == "login" {
		issued := l.log.now
		if text, ok := l.named["iat"]; ok {
			issued = midnight.Add(l.duration(text))
		}
		c.Actor = loginOf(c.UserID, issued)
	}
	c.Actor.Client = session.Client{IP: l.named["ip"], UserAgent: l.named["ua"]}
	if sub := l.named["sub"]; sub != "" {
		c.Auth = session.Auth{Issuer: "iss", Subject: sub, SID: l.named["sid"]}
	}
	if shown, ok := l.names[l.named["show"]]; ok {
		c.Actor.Session = holder(shown).Session
	}
	if key := l.named["carry"]; key != "" {
		c.Carry = []string{key}
	}
	created, err := l.member.Create(l.ctx, c)
	if err == nil {
		l.names[l.named["as"]] = created.Token
	}
	return l.show(l.named["as"], created.View, err)
}

// rotate says which name the token that it gets has already, if it has one.
func (l *life) rotate() (string, error) {
	old := l.token()
	r, err := l.member.Refresh(l.ctx, session.Refresh{Actor: l.actor(), Rotate: true, Token: old})
	if err != nil {
		return "", err
	}
	if r.Token == nil {
		return l.show(l.arg(0)+" keeps its token", r.View, nil)
	}
	for _, name := range slices.Sorted(maps.Keys(l.names)) {
		if l.names[name] == *r.Token {
			return "the token is that of " + name, nil
		}
	}
	l.names[l.named["as"]] = *r.Token
	return l.show(l.named["as"], r.View, nil)
}

// look takes the commands that change no session.
func (l *life) look(verb string) (string, error) {
	switch verb {
	case "list":
		page, err := l.member.List(l.ctx, session.List{UserID: l.arg(0)})
		var names []string
		for _, s := range page.Sessions {
			names = append(names, l.name(s.ID))
		}
		return strings.TrimSpace("sessions: " + strings.Join(names, " ")), err
	case "stats":
		s, err := l.member.Stats(l.ctx, session.Consistency{})
		return fmt.Sprintf("sessions: %d of %d users; %d created, %d revoked, %d expired", s.Sessions, s.Users, s.Created, s.Revoked, s.Expired), err
	case "wait":
		l.log.advance(l.duration(l.arg(0)))
	case "lag":
		l.log.members[1].behind = l.arg(0) == "on"
	case "leader":
		l.log.leaderless = l.arg(0) == "off"
	case "lose-answer":
		l.log.answersLost = 1
	default:
		l.t.Fatalf("unknown command %q", verb)
	}
	return "", nil
}
