package fsm

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// create begins a session. The one whose token was shown, if it lives, ends in
// the same command and is never adopted: a token that was there before a login
// must not be worth more after it.
func (e *entry) create(env *envelope) reply {
	body := bodyOf(e, env, decodeCreate)
	a := env.Actor
	if c := e.mayCreate(a, &body); c != codeOK {
		return refuse(c)
	}
	var shown *held
	if h, ok := e.presented(a); ok {
		shown = &h
	} else {
		e.endReused(a.SessionID, a.Hash) // and the create goes on: the login is another proof
	}
	if a.Login == nil && shown != nil && shown.UserID != "" && shown.UserID != body.UserID {
		return refuse(codeForbidden)
	}
	if _, there := e.session(body.ID); there {
		// Ids are drawn at random: this is a repetition that is no longer known,
		// and nothing is ever an upsert.
		return refuse(codeOutcomeUnknown)
	}
	rec, err := e.started(&body, a.client(), shown)
	if err != nil {
		return refused(err)
	}
	evicted, c := e.room(&body, shown)
	if c != codeOK {
		return refuse(c)
	}

	if shown != nil {
		e.end(shown, session.EventRevoked, reasonReplaced)
	}
	for i := range evicted {
		e.end(&evicted[i], session.EventEvicted, reasonLimit)
	}
	written := e.add(&rec, "")
	return reply{outcome: outcome{id: rec.ID, version: rec.Version, count: 1}, record: written}
}

// mayCreate checks what a session of the user is asked for on the strength of.
func (e *entry) mayCreate(a *wireActor, b *createBody) code {
	switch {
	case a == nil, a.Login == nil && !a.Service:
		return codeForbidden
	case a.Login != nil && (!e.accepts(a.Login) || e.providerEnded(b.Issuer, b.SID)):
		return codeLoginInvalid
	case a.Login != nil && a.Login.UserID != b.UserID:
		return codeForbidden
	}
	return codeOK
}

// started computes the new session.
func (e *entry) started(b *createBody, client session.Client, shown *held) (record, error) {
	data := b.Data
	if len(b.Carry) > 0 && shown != nil && shown.UserID == "" {
		var err error
		if data, err = carried(b.Data, shown.Data, b.Carry); err != nil {
			return record{}, err
		}
	}
	s, err := session.New(session.Start{
		ID: b.ID, Hash: b.Hash, UserID: b.UserID, TenantID: b.TenantID, Data: data,
		Idle:     time.Duration(b.IdleMillis) * time.Millisecond,
		Absolute: time.Duration(b.AbsMillis) * time.Millisecond,
		Auth:     session.Auth{Issuer: b.Issuer, Subject: b.Subject, SID: b.SID, Method: b.Method, Time: b.AuthTime},
		Client:   client, Label: b.Label,
	}, e.now)
	return record{Session: s}, err
}

// carried adds the named keys of an anonymous session's data to those that the
// login brings; where both have a key, the login's counts.
func carried(data, anonymous []byte, keys []string) ([]byte, error) {
	if len(data) == 0 {
		return session.Pick(anonymous, keys)
	}
	own, err := session.PatchKeys(data)
	if err != nil {
		return nil, err
	}
	picked, err := session.Pick(anonymous, slices.DeleteFunc(slices.Clone(keys), func(k string) bool {
		return slices.Contains(own, k)
	}))
	if err != nil || string(picked) == "{}" {
		return data, err
	}
	canonical, err := session.CanonicalObject(data)
	if err != nil || string(canonical) == "{}" {
		return picked, err
	}
	// Both are canonical objects with members, and no key is in both.
	joined := append(picked[:len(picked)-1:len(picked)-1], ',')
	return append(joined, canonical[1:]...), nil
}

// room finds the sessions that must go to make room for one more of the user.
func (e *entry) room(b *createBody, shown *held) ([]held, code) {
	if b.UserID == "" {
		return nil, codeOK
	}
	a, _ := e.account(b.UserID)
	there := a.live
	if shown != nil && shown.UserID == b.UserID {
		there--
	}
	if there >= MaxUserSessions {
		return nil, codeSessionLimit
	}
	if b.MaxPerUser == 0 || there < b.MaxPerUser {
		return nil, codeOK
	}
	// The account also counts those that have expired and wait for the sweep.
	sessions := slices.DeleteFunc(e.userSessions(b.UserID), func(h held) bool { return shown != nil && h.ID == shown.ID })
	over := len(sessions) + 1 - int(min(b.MaxPerUser, MaxUserSessions))
	if over <= 0 {
		return nil, codeOK
	}
	if b.Reject {
		return nil, codeSessionLimit
	}
	slices.SortFunc(sessions, func(x, y held) int {
		return cmp.Or(cmp.Compare(x.LastActiveAt, y.LastActiveAt), slices.Compare(x.ID[:], y.ID[:]))
	})
	return sessions[:over], codeOK
}
