package fsm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// model is what the sessions of a few users should be, in a few lines.
type model struct {
	now       session.Time
	sessions  map[session.Token]*modelled
	notBefore map[string]session.Time
}

type modelled struct {
	user             string
	n                int
	version          uint64
	active, absolute session.Time
}

func (s *modelled) liveAt(now session.Time) bool {
	return now < min(s.active.Add(time.Hour), s.absolute)
}

// live returns the live sessions of a user, oldest first; * is everybody.
func (m *model) live(user string) (tokens []session.Token) {
	for token, s := range m.sessions {
		if s.liveAt(m.now) && (user == "*" || s.user == user) {
			tokens = append(tokens, token)
		}
	}
	slices.SortFunc(tokens, func(a, b session.Token) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return tokens
}

func (m *model) create(token session.Token, user string) {
	m.sessions[token] = &modelled{user: user, version: 1, active: m.now, absolute: m.now.Add(24 * time.Hour)}
}

func (m *model) patch(token session.Token, n int) bool {
	s := m.sessions[token]
	if s == nil || !s.liveAt(m.now) {
		return false
	}
	if s.n != n {
		s.n = n
		s.version++
	}
	return true
}

func (m *model) refresh(token session.Token) bool {
	s := m.sessions[token]
	if s == nil || !s.liveAt(m.now) {
		return false
	}
	s.active = m.now
	return true
}

func (m *model) revokeUser(user string, keep session.Token) (ended int) {
	for _, token := range m.live(user) {
		if token != keep {
			delete(m.sessions, token)
			ended++
		}
	}
	m.notBefore[user] = m.now
	return ended
}

func (m *model) accepts(user string, issued session.Time) bool {
	return m.notBefore[user] == 0 || issued/1000 > m.notBefore[user]/1000
}

// trial is one run of the model beside a log with two members.
type trial struct {
	*model
	log  *memLog
	dead []session.Token
}

func (r *trial) any(t *rapid.T) *member { return rapid.SampledFrom(r.log.members).Draw(t, "member") }

func (r *trial) user(t *rapid.T) string {
	return rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(t, "user")
}

// token draws one that lives, or has lived.
func (r *trial) token(t *rapid.T) session.Token {
	all := r.live("*")
	if len(r.dead) > 0 {
		all = append(all, r.dead[rapid.IntRange(0, len(r.dead)-1).Draw(t, "dead")])
	}
	if len(all) == 0 {
		t.Skip("nobody has ever logged in")
	}
	return rapid.SampledFrom(all).Draw(t, "token")
}

func expect(t *rapid.T, err error, ok bool, refusal session.Code) {
	t.Helper()
	if ok {
		refusal = ""
	}
	wantCode(t, err, refusal)
}

func (r *trial) actions() map[string]func(*rapid.T) {
	ctx := context.Background()
	return map[string]func(*rapid.T){
		"a service creates": func(t *rapid.T) {
			user := r.user(t)
			created, err := r.any(t).Create(ctx, session.Create{Actor: service(), UserID: user, Data: []byte(`{"n":0}`)})
			expect(t, err, true, "")
			r.create(created.Token, user)
		},
		"a login creates": func(t *rapid.T) {
			user := r.user(t)
			issued := r.now.Add(-time.Duration(rapid.IntRange(0, 2).Draw(t, "age")) * time.Second)
			created, err := r.any(t).Create(ctx, session.Create{Actor: loginOf(user, issued), UserID: user, Data: []byte(`{"n":0}`)})
			if expect(t, err, r.accepts(user, issued), session.CodeLoginInvalid); err == nil {
				r.create(created.Token, user)
			}
		},
		"patch": func(t *rapid.T) {
			token, n := r.token(t), rapid.IntRange(0, 3).Draw(t, "n")
			_, err := r.any(t).Patch(ctx, session.Patch{Actor: holder(token), Patch: fmt.Appendf(nil, `{"n":%d}`, n)})
			expect(t, err, r.patch(token, n), session.CodeSessionInvalid)
		},
		"patch a user": func(t *rapid.T) {
			user, n := r.user(t), rapid.IntRange(0, 3).Draw(t, "n")
			out, err := r.any(t).PatchUser(ctx, session.PatchUser{Actor: service(), UserID: user, Patch: fmt.Appendf(nil, `{"n":%d}`, n)})
			expect(t, err, out.Count == len(r.live(user)), session.CodeInternal)
			for _, token := range r.live(user) {
				r.patch(token, n)
			}
		},
		"refresh": func(t *rapid.T) {
			token := r.token(t)
			_, err := r.any(t).Refresh(ctx, session.Refresh{Actor: holder(token)})
			expect(t, err, r.refresh(token), session.CodeSessionInvalid)
		},
		"touch": func(t *rapid.T) {
			token := r.token(t)
			r.log.entry(command(t, envelope{Type: cmdTouch}, touchBody{Touches: []wireTouch{{ID: token.ID, Active: r.now}}}))
			r.refresh(token)
		},
		"revoke": func(t *rapid.T) {
			token := r.token(t)
			_, err := r.any(t).Revoke(ctx, session.Revoke{Actor: holder(token)})
			expect(t, err, slices.Contains(r.live("*"), token), session.CodeSessionInvalid)
			delete(r.sessions, token)
			r.dead = append(r.dead, token)
		},
		"log out everywhere": func(t *rapid.T) {
			user := r.user(t)
			out, err := r.any(t).RevokeUser(ctx, session.RevokeUser{Actor: service(), UserID: user})
			r.dead = append(r.dead, r.live(user)...)
			if expect(t, err, true, ""); out.Count != r.revokeUser(user, session.Token{}) {
				t.Fatalf("%d sessions ended", out.Count)
			}
		},
		"sweep": func(t *rapid.T) {
			_, err := r.any(t).Sweep(ctx)
			expect(t, err, true, "")
			for user, at := range r.notBefore {
				if r.now >= at.Add(time.Hour) {
					delete(r.notBefore, user)
				}
			}
		},
		"lose the next answer": func(*rapid.T) { r.log.answersLost = 1 },
		"time passes": func(t *rapid.T) {
			d := rapid.SampledFrom([]time.Duration{1, 999, 20_000, 1_199_999, 3_600_000, 90_000_000}).Draw(t, "ms")
			r.log.advance(d * time.Millisecond)
			r.now = r.log.now
		},
		"flush":   func(t *rapid.T) { r.any(t).flush() },
		"restart": func(t *rapid.T) { r.any(t).restart() },
		"replace the follower by an archive": func(t *rapid.T) {
			archive := r.log.members[0].exported()
			if err := r.log.members[1].machine.Import(bytes.NewReader(archive)); err != nil {
				t.Fatal(err)
			}
		},
		"a third machine takes an archive": func(t *rapid.T) { r.third(t) },
		"":                                 r.agree,
	}
}

// restart loses what was not flushed, service included.
func (m *member) restart() {
	m.log.t.Helper()
	cfg := m.cfg
	_ = m.Close()
	m.crash()
	var err error
	if m.Sessions, err = Open(cfg, m, m.machine); err != nil {
		m.log.t.Fatal(err)
	}
}

func (r *trial) third(t *rapid.T) {
	path := r.log.dir + "/third.db"
	defer os.Remove(path)
	table, err := storage.Open(path, storage.Options{InitialMmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	machine, err := OpenMachine(table)
	if err != nil {
		t.Fatal(err)
	}
	from := r.any(t)
	if err := machine.Import(bytes.NewReader(from.exported())); err != nil {
		t.Fatal(err)
	}
	checkMachine(t, machine)
	if i, h := machine.Hash(); func() bool { i1, h1 := from.machine.Hash(); return i != i1 || h != h1 }() {
		t.Fatalf("the third machine has hash %x at %d", h, i)
	}
}

// agree holds every session on a member against the model.
func (r *trial) agree(t *rapid.T) {
	r.log.t = t
	m := r.any(t)
	live := r.live("*")
	for _, token := range live {
		v, err := m.get(token)
		want := r.sessions[token]
		if err != nil || string(v.Session.Data) != fmt.Sprintf(`{"n":%d}`, want.n) || v.Session.Version != want.version ||
			v.Session.UserID != want.user || v.Session.ExpiresAt() != min(want.active.Add(time.Hour), want.absolute) {
			t.Fatalf("%v is %+v (%v), want %+v", token, v.Session, err, want)
		}
	}
	for token, s := range r.sessions {
		if !s.liveAt(r.now) {
			r.dead = append(r.dead, token)
			delete(r.sessions, token)
		}
	}
	for _, token := range r.dead[max(0, len(r.dead)-5):] {
		_, err := m.get(token)
		wantCode(t, err, session.CodeSessionInvalid)
	}
	for _, user := range []string{"alice", "bob", "carol"} {
		page, err := m.List(context.Background(), session.List{UserID: user, Limit: session.MaxListLimit})
		if err != nil || len(page.Sessions) != len(r.live(user)) {
			t.Fatalf("%s has %d sessions (%v), want %d", user, len(page.Sessions), err, len(r.live(user)))
		}
	}
	r.log.check()
}

func TestTheMachineIsTheModelThroughCrashesArchivesAndTime(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		here := fmt.Sprintf("%s/%d", dir, runs)
		if err := os.Mkdir(here, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(here)
		r := &trial{
			model: &model{now: midnight, sessions: map[session.Token]*modelled{}, notBefore: map[string]session.Time{}},
			log:   newLog(t, here, 2),
		}
		defer r.log.close()
		t.Repeat(r.actions())
	})
}
