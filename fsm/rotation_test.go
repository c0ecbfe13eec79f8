package fsm

import (
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/session"
)

func TestAllWhoRotateOneTokenGetTheSameOne(t *testing.T) {
	const racers = 50
	l := newTestLog(t, 3)
	old := l.members[0].login("alice", "").Token
	l.advance(session.RotationGrace)
	got := make([]*session.Token, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			r, err := l.members[i%3].Refresh(t.Context(), session.Refresh{Actor: holder(old), Rotate: true, Token: old})
			if err != nil {
				t.Error(err)
			}
			got[i] = r.Token
		})
	}
	all.Wait()
	for i, token := range got {
		if token == nil || *token != *got[0] {
			t.Fatalf("racer %d got %v, the first %v", i, token, got[0])
		}
	}
	if *got[0] == old {
		t.Fatal("nothing was rotated")
	}
	for _, m := range l.members {
		m.mustLive(*got[0])
		m.mustLive(old) // in the grace
	}
	if said := l.members[0].happened(1); len(said) != 1 {
		t.Errorf("%d racers have made the events %v", racers, said)
	}
	l.advance(session.RotationGrace)
	for _, m := range l.members {
		m.mustLive(*got[0])
	}
}

// A cluster whose key is being changed has nodes that seal with different keys.
func TestASuccessorSealedUnderAnotherNodesKeyIsRead(t *testing.T) {
	keys := [][]byte{make([]byte, session.SealKeyLen), make([]byte, session.SealKeyLen)}
	keys[1][0] = 1
	first := true
	l := newTestLog(t, 2, func(c *Config) {
		mine := [][]byte{keys[0], keys[1]}
		if !first {
			mine[0], mine[1] = keys[1], keys[0]
		}
		first = false
		c.SealKeys = func() [][]byte { return mine }
	})
	old := l.members[0].login("alice", "").Token
	l.advance(session.RotationGrace)
	var tokens []session.Token
	for _, m := range l.members {
		r, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(old), Rotate: true, Token: old})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, *r.Token)
	}
	if tokens[0] != tokens[1] {
		t.Error("two nodes have read different successors")
	}
}

// A lost answer is asked for again, under the same Idempotency-Key or without.
func TestARotationWhoseAnswerWasLostIsRepeated(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	old := m.login("alice", "").Token
	l.advance(session.RotationGrace)
	ask := session.Refresh{Actor: holder(old), Rotate: true, Token: old, Idempotency: idem(1, 1)}
	l.set(func() { l.answersLost = 1 })
	first, err := m.Refresh(t.Context(), ask)
	if err != nil || first.Token == nil {
		t.Fatal(first, err)
	}
	for name, again := range map[string]session.Refresh{"same key": ask, "no key": {Actor: ask.Actor, Rotate: true, Token: old}} {
		r, err := m.Refresh(t.Context(), again)
		if err != nil || r.Token == nil || *r.Token != *first.Token {
			t.Errorf("%s: %v, %v", name, r.Token, err)
		}
	}
	l.advance(session.RotationGrace)
	_, err = m.Refresh(t.Context(), ask)
	wantCode(t, err, session.CodeSessionInvalid)
	m.mustDead(*first.Token) // the old token came back after its grace
}

// Guesses harm nobody, and only one use of a used-up token reaches the log.
func TestOnlyAUsedUpTokenEndsItsSession(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	old := m.login("alice", "").Token
	l.advance(session.RotationGrace)
	r, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(old), Rotate: true, Token: old})
	if err != nil {
		t.Fatal(err)
	}
	l.advance(session.RotationGrace)
	guess := *r.Token
	guess.Secret[31] ^= 1
	before := l.counted()
	for range 20 {
		m.mustDead(guess)
	}
	if n := l.counted() - before; n != 0 {
		t.Errorf("guesses have made %d commands", n)
	}
	m.mustLive(*r.Token)
	before = l.counted()
	for range 20 {
		m.mustDead(old)
	}
	if n := l.counted() - before; n != 1 {
		t.Errorf("a used-up token has made %d commands", n)
	}
	m.mustDead(*r.Token)
}

func TestIntrospectionAnswersInOrderWithOneBarrier(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	live, dead := l.members[0].login("alice", `{"n":1}`).Token, l.members[0].login("bob", "").Token
	if _, err := m.Revoke(t.Context(), session.Revoke{Actor: holder(dead)}); err != nil {
		t.Fatal(err)
	}
	wrong := live
	wrong.Secret[0] ^= 1
	q := session.Introspect{Tokens: []*session.Token{&dead, &live, nil, &wrong, &live}}
	l.set(func() { l.barriers = 0 })
	got, err := m.Introspect(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, active := range []bool{false, true, false, false, true} {
		if one := got.Results[i]; one.Active != active || (active && string(one.Session.Data) != `{"n":1}`) {
			t.Errorf("token %d: %+v", i, one)
		}
	}
	if l.barriers != 1 {
		t.Errorf("%d barriers for one call", l.barriers)
	}
	q.Tokens = make([]*session.Token, session.MaxIntrospect+1)
	_, err = m.Introspect(t.Context(), q)
	wantCode(t, err, session.CodeInvalidRequest)

	// On a node that is behind, with a session that has ended there.
	l.set(func() { m.behind = true })
	if _, err := l.members[0].Revoke(t.Context(), session.Revoke{Actor: holder(live)}); err != nil {
		t.Fatal(err)
	}
	got, err = m.Introspect(t.Context(), session.Introspect{Tokens: []*session.Token{&live}, Consistency: session.Consistency{Strong: true}})
	if err != nil || got.Results[0].Active {
		t.Errorf("strong: %+v, %v", got, err)
	}
	l.set(func() { m.behind = false })
}
