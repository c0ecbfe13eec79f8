package fsm

import (
	"crypto/sha256"
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

// logout is what an identity provider asks for with a logout token, each of which
// works once. The provider speaks of its own logins only: of one by its sid, or
// of all of a subject, whose user's older logins are refused from then on.
func (e *entry) logout(env *envelope) reply {
	body := bodyOf(e, env, decodeLogout)
	if !e.first(body.Token) {
		return refuse(codeIdempotencyConflict)
	}
	prefix := subjectPrefix(body.Issuer, body.Subject)
	if body.SID != "" {
		prefix = sidPrefix(body.Issuer, body.SID)
	}
	var p reply
	for _, pair := range e.scan(prefix, after(prefix), MaxUserSessions+1) {
		h, ok := e.session(tailID(pair.key))
		if !ok {
			panic("fsm: the index of logins names a session that is not there: " + tailID(pair.key).String())
		}
		if !h.LiveAt(e.now) || (body.Subject != "" && h.Auth.Subject != body.Subject) {
			continue
		}
		e.end(&h, session.EventRevoked, reasonProvider)
		p.count++
	}
	if body.SID != "" {
		e.first(endedLogin(body.Issuer, body.SID))
	}
	if body.SID == "" && body.UserID != "" {
		e.refuseLogins(body.UserID, time.Duration(body.KeepMillis)*time.Millisecond)
	}
	return p
}

// endedLogin is what a provider's session that has ended is known by, among the
// idempotency keys.
func endedLogin(issuer, sid string) [scopeLen]byte {
	return sha256.Sum256(appendText(appendText([]byte("holdfast ended login"), issuer), sid))
}

// providerEnded says whether the provider has ended the session in which a login
// was made: its login JWT must not make another here.
func (e *entry) providerEnded(issuer, sid string) bool {
	if sid == "" {
		return false
	}
	raw, there := e.get(idempotencyKey(endedLogin(issuer, sid)))
	if !there {
		return false
	}
	seen, err := decodeRemembered(raw)
	if err != nil {
		panic("fsm: " + err.Error())
	}
	return e.now < seen.at.Add(idempotencyKept)
}

// first says whether a logout token was not seen before, and remembers it for as
// long as an idempotency key, among which it counts.
func (e *entry) first(token [scopeLen]byte) bool {
	key := idempotencyKey(token)
	if raw, used := e.get(key); used {
		seen, err := decodeRemembered(raw)
		if err != nil {
			panic("fsm: " + err.Error())
		}
		if e.now < seen.at.Add(idempotencyKept) {
			return false
		}
		e.forget(token, raw, &seen)
	}
	e.insert(key, encodeRemembered(&remembered{command: cmdLogout, at: e.now}))
	e.insert(forgetKey(e.now.Add(idempotencyKept), token), present)
	e.meta.idempotencies++
	return true
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
