package fsm

import (
	"github.com/holdfastdb/holdfast/session"
)

// rotate extends the actor's own session and gives it the secret that the
// command brings, unless the one that is shown was rotated away a moment ago, or
// is that young itself. Either way the reply holds the session as it is then,
// and with it what a holder of the former secret needs to read the next.
func (e *entry) rotate(env *envelope) reply {
	body := bodyOf(e, env, decodeRotate)
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	h, c := e.target(&s, session.ID{})
	switch {
	case c != codeOK:
		return refuse(c)
	case h.Standing(env.Actor.Hash, e.now) == session.InGrace:
		return reply{outcome: outcome{id: h.ID, version: h.Version, count: 1}, record: h.raw}
	case !h.Rotates(e.now):
		return e.extend(&h)
	}
	next := h.record
	next.Session = h.Refreshed(e.now).Rotated(body.Hash, body.Sealed, e.now)
	e.regrace(h.ID, h.Rotation.GraceUntil, next.Rotation.GraceUntil)
	raw := e.save(&h, &next)
	e.event(session.EventRotated, &next, "")
	return reply{outcome: outcome{id: h.ID, version: next.Version, count: 1}, record: raw}
}

// reuse ends a session of which somebody showed a secret that was rotated away:
// two hold it, and nobody can say which of them is the user. The command has no
// actor. It does no harm to a session whose used-up secret it does not hold.
func (e *entry) reuse(env *envelope) reply {
	body := bodyOf(e, env, decodeReuse)
	if !e.endReused(body.ID, body.Hash) {
		return reply{}
	}
	return reply{outcome: outcome{id: body.ID, count: 1}}
}

// endReused ends a session if the secret that is shown is one that was used up.
func (e *entry) endReused(id session.ID, shown session.SecretHash) bool {
	h, ok := e.live(id)
	if !ok || h.Standing(shown, e.now) != session.UsedUp {
		return false
	}
	e.event(session.EventSuspicious, &h.record, session.SuspiciousReuse)
	e.end(&h, session.EventRevoked, reasonReused)
	return true
}

// settle forgets what only the grace of a rotation needed, once it is over.
func (e *entry) settle(limit int) (more bool) {
	pairs := e.dueSince(prefixGrace, &e.m.swept.grace, limit)
	for _, p := range pairs {
		h, ok := e.session(tailID(p.key))
		if !ok || h.Rotation.GraceUntil != keyTime(p.key) {
			panic("fsm: the index of graces and its session differ: " + tailID(p.key).String())
		}
		next := h.record
		next.Session = h.Settled()
		e.regrace(h.ID, h.Rotation.GraceUntil, 0)
		e.save(&h, &next)
	}
	return len(pairs) == limit
}
