package fsm

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func TestARepeatedRequestHasTheSameOutcome(t *testing.T) {
	for name, do := range map[string]func(m *member, token session.Token, i *session.Idempotency) (string, error){
		"patch": func(m *member, token session.Token, i *session.Idempotency) (string, error) {
			v, err := m.Patch(context.Background(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":1}`), IfVersion: 1, Idempotency: i})
			return fmt.Sprint(v.Session.Version, v.Index), err
		},
		"patch a user": func(m *member, _ session.Token, i *session.Idempotency) (string, error) {
			out, err := m.PatchUser(context.Background(), session.PatchUser{Actor: service(), UserID: "alice", Patch: []byte(`{"n":1}`), Idempotency: i})
			return fmt.Sprint(out), err
		},
		"revoke": func(m *member, token session.Token, i *session.Idempotency) (string, error) {
			out, err := m.Revoke(context.Background(), session.Revoke{Actor: holder(token), Idempotency: i})
			return fmt.Sprint(out), err
		},
		"log out everywhere": func(m *member, token session.Token, i *session.Idempotency) (string, error) {
			out, err := m.RevokeUser(context.Background(), session.RevokeUser{Actor: holder(token), Idempotency: i})
			return fmt.Sprint(out), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 1)
			m := l.members[0]
			token := m.login("alice", "").Token
			m.login("alice", "")
			first, err := do(m, token, idem(1, 1))
			wantCode(t, err, "")
			n := len(m.events())
			l.advance(idempotencyKept - 23*time.Hour - 30*time.Minute) // half an hour: the session still lives, if it does

			again, err := do(m, token, idem(1, 1))
			wantCode(t, err, "")
			if name == "patch" {
				first, again = first[:1], again[:1] // its session is shown as it is now, with the index of now
			}
			if again != first {
				t.Errorf("first %s, again %s", first, again)
			}
			if got := m.happened(n); len(got) != 0 {
				t.Errorf("the repetition has done %v", got)
			}
			_, err = do(m, token, idem(1, 2))
			wantCode(t, err, session.CodeIdempotencyConflict)
		})
	}
}

func TestAKeyOfOneCommandIsNotAnothers(t *testing.T) {
	m := newTestMember(t)
	token := m.login("alice", "").Token
	_, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(token), Idempotency: idem(1, 1)})
	wantCode(t, err, "")
	_, err = m.Revoke(t.Context(), session.Revoke{Actor: holder(token), Idempotency: idem(1, 1)})
	wantCode(t, err, session.CodeIdempotencyConflict)
	m.mustLive(token)
}

func TestARefusedRequestMayBeTriedAgain(t *testing.T) {
	m := newTestMember(t)
	token := m.login("alice", "").Token
	patch := session.Patch{Actor: holder(token), Patch: []byte(`{"n":1}`), IfVersion: 2, Idempotency: idem(1, 1)}
	_, err := m.Patch(t.Context(), patch)
	wantCode(t, err, session.CodeVersionConflict)
	_, err = m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":0}`)})
	wantCode(t, err, "")
	v, err := m.Patch(t.Context(), patch)
	wantCode(t, err, "")
	if v.Session.Version != 3 {
		t.Errorf("version %d", v.Session.Version)
	}
}

func TestACreateMayBeRepeatedForAMinute(t *testing.T) {
	for name, c := range map[string]struct {
		between func(l *memLog, m *member, first session.Created)
		body    byte
		want    session.Code
	}{
		"at once":           {func(*memLog, *member, session.Created) {}, 1, ""},
		"after a minute":    {func(l *memLog, _ *member, _ session.Created) { l.advance(time.Minute) }, 1, ""},
		"after more":        {func(l *memLog, _ *member, _ session.Created) { l.advance(time.Minute + time.Millisecond) }, 1, session.CodeIdempotencyConflict},
		"with another body": {func(*memLog, *member, session.Created) {}, 2, session.CodeIdempotencyConflict},
		"of a changed session": {func(_ *memLog, m *member, f session.Created) {
			_, _ = m.Patch(context.Background(), session.Patch{Actor: holder(f.Token), Patch: []byte(`{"x":1}`)})
		}, 1, ""},
		"of a revoked session": {func(_ *memLog, m *member, f session.Created) {
			_, _ = m.Revoke(context.Background(), session.Revoke{Actor: holder(f.Token)})
		}, 1, session.CodeIdempotencyConflict},
		"of a rotated session": {func(l *memLog, m *member, f session.Created) { m.rotate(f.Token.ID) }, 1, session.CodeIdempotencyConflict},
		"after a day":          {func(l *memLog, _ *member, _ session.Created) { l.advance(idempotencyKept) }, 1, ""},
		"after a day and a sweep": {func(l *memLog, m *member, _ session.Created) {
			l.advance(idempotencyKept)
			_, _ = m.Sweep(context.Background())
		}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 1)
			m := l.members[0]
			create := session.Create{Actor: service(), UserID: "alice", Data: []byte(`{"a":1}`), Idempotency: idem(1, 1)}
			first := m.created(create)
			c.between(l, m, first)
			create.Idempotency = idem(1, c.body)
			again, err := m.Create(t.Context(), create)
			wantCode(t, err, c.want)
			if err != nil {
				return
			}
			if l.now >= midnight.Add(idempotencyKept) {
				if again.Token.ID == first.Token.ID {
					t.Error("a forgotten key brought a session back")
				}
				return
			}
			if again.Token.ID != first.Token.ID || again.Token.Secret == first.Token.Secret {
				t.Errorf("first %v, again %v: want the same session and another secret", first.Token, again.Token)
			}
			m.mustLive(again.Token)
			m.mustDead(first.Token) // merely wrong
			third := m.created(create)
			m.mustDead(again.Token)
			m.mustLive(third.Token)
		})
	}
}

// rotate gives a session a secret that nobody knows, as a rotation would.
func (m *member) rotate(id session.ID) {
	m.log.t.Helper()
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	index, _, _ := m.machine.Applied()
	e := m.machine.begin(index+1, int64(m.log.now), 1)
	h, ok := e.session(id)
	if !ok {
		m.log.t.Fatal("there is nothing to rotate")
	}
	next := h.record
	next.SecretHash = session.SecretHash{1}
	e.save(&h, &next)
	m.machine.finish(e, 1)
	m.log.entries = append(m.log.entries, logEntry{stamp: m.log.now}) // the place is taken
}

func TestARepeatedCreateCannotGoAroundALogOutEverywhere(t *testing.T) {
	m := newTestMember(t)
	login := loginOf("alice", midnight)
	create := session.Create{Actor: login, UserID: "alice", Idempotency: idem(1, 1)}
	kept := m.created(create)
	_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: holder(kept.Token), KeepCurrent: true})
	wantCode(t, err, "")
	// Whoever stole the login and saw the request must not get the session that
	// its user has kept.
	_, err = m.Create(t.Context(), create)
	wantCode(t, err, session.CodeLoginInvalid)
	m.mustLive(kept.Token)
}

func TestARepetitionShowsNoSessionToADeadToken(t *testing.T) {
	label := "phone"
	t.Run("of a session that has ended", func(t *testing.T) {
		m := newTestMember(t)
		token, sister := m.login("alice", "").Token, m.login("alice", `{"secret":1}`).Token
		patch := session.Patch{Actor: holder(token), Target: sister.ID, Label: &label, Idempotency: idem(1, 1)}
		_, err := m.Patch(t.Context(), patch)
		wantCode(t, err, "")
		_, err = m.Patch(t.Context(), patch)
		wantCode(t, err, "")
		_, err = m.Revoke(t.Context(), session.Revoke{Actor: holder(token)})
		wantCode(t, err, "")
		v, err := m.Patch(t.Context(), patch)
		wantCode(t, err, session.CodeSessionInvalid)
		if v.Session.Data != nil {
			t.Errorf("a dead token was shown %s", v.Session.Data)
		}
	})
	t.Run("whose secret is wrong by now", func(t *testing.T) {
		m := newTestMember(t)
		create := session.Create{Actor: service(), UserID: "alice", Data: []byte(`{"secret":1}`), Idempotency: idem(1, 1)}
		wrong := m.created(create).Token
		patch := session.Patch{Actor: holder(wrong), Label: &label, Idempotency: idem(2, 1)}
		_, err := m.Patch(t.Context(), patch)
		wantCode(t, err, "")
		good := m.created(create).Token
		_, err = m.Patch(t.Context(), patch)
		wantCode(t, err, session.CodeSessionInvalid)
		m.mustLive(good)
	})
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	l := newTestLog(t, 1, func(c *Config) { c.MaxIdempotencyKeys = 3 })
	m := l.members[0]
	token := m.login("alice", "").Token
	refresh := func(key byte) session.Index {
		t.Helper()
		v, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(token), Idempotency: idem(key, 1)})
		wantCode(t, err, "")
		return v.Index
	}
	for key := range byte(5) {
		l.advance(time.Second)
		refresh(key)
	}
	n := len(m.events())
	_, err := m.Sweep(t.Context())
	wantCode(t, err, "")
	refresh(4)
	if got := m.happened(n); len(got) != 0 {
		t.Errorf("the youngest key was forgotten: %v", got)
	}
	refresh(0)
	if got := m.happened(n); len(got) != 1 {
		t.Errorf("the oldest key was not forgotten: %v", got)
	}
}
