package fsm

import (
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// revoke ends one session.
func (e *entry) revoke(env *envelope) reply {
	body := bodyOf(e, env, decodeRevoke)
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	h, c := e.target(&s, body.Target)
	if c != codeOK {
		return refuse(c)
	}
	reason := reasonRevoked
	if s.own != nil && s.own.ID == h.ID {
		reason = reasonLogout
	}
	e.end(&h, session.EventRevoked, reason)
	return reply{outcome: outcome{id: h.ID, version: h.Version, count: 1}}
}

// revokeUser is log out everywhere: it ends all of a user's sessions and keeps
// a not-before, so that no login from before counts any more.
func (e *entry) revokeUser(env *envelope) reply {
	body := bodyOf(e, env, decodeRevokeUser)
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	user, confined := s.user()
	switch {
	case !confined && body.UserID == "":
		return refuse(codeInvalidRequest)
	case !confined:
		user = body.UserID
	case body.UserID != "" && body.UserID != user:
		return refuse(codeForbidden)
	}
	var sessions []held
	switch {
	case user != "":
		sessions = e.userSessions(user)
		e.refuseLogins(user, time.Duration(body.KeepMillis)*time.Millisecond)
	case s.own != nil:
		sessions = []held{*s.own} // anonymous: nobody's, and has no other beside it
	}
	var p reply
	for i := range sessions {
		if body.KeepCurrent && s.own != nil && s.own.ID == sessions[i].ID {
			continue
		}
		e.end(&sessions[i], session.EventRevoked, reasonEverywhere)
		p.count++
	}
	return p
}

// refuseLogins sets the user's not-before to now, and remembers it for keep.
func (e *entry) refuseLogins(user string, keep time.Duration) {
	a, raw := e.account(user)
	if a.until != 0 {
		e.remove(notBeforeKey(a.until, user), present)
	}
	// What is queued must be due later than any sweep that has been (sweepMarks).
	a.notBefore, a.until = e.now, max(a.until, e.now.Add(max(keep, time.Millisecond)))
	e.saveAccount(user, a, raw)
	e.insert(notBeforeKey(a.until, user), present)
}
