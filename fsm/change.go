package fsm

import (
	"github.com/holdfastdb/holdfast/session"
)

// maxPatchUserBytes bounds what one command may rewrite.
const maxPatchUserBytes = 64 << 20

// patch changes one session's data, its label, or both.
func (e *entry) patch(env *envelope) reply {
	body := bodyOf(e, env, decodePatch)
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	h, c := e.target(&s, body.Target)
	switch {
	case c != codeOK:
		return refuse(c)
	case !s.service && (s.own == nil || (len(body.Patch) > 0 && h.ID != s.own.ID)):
		// A login may not write data at all, a session only its own.
		return refuse(codeForbidden)
	case body.IfVersion != 0 && body.IfVersion != h.Version:
		return refuse(codeVersionConflict)
	}
	next, changed := h.record, false
	var err error
	if len(body.Patch) > 0 {
		if next.Session, changed, err = next.Patched(body.Patch, e.now); err != nil {
			return refused(err)
		}
	}
	if body.Label != nil && *body.Label != h.Device.Label {
		changed = true
		if next.Session, err = next.Labelled(*body.Label); err != nil {
			return refused(err)
		}
	}
	raw := h.raw
	if changed {
		raw = e.save(&h, &next)
		e.event(session.EventUpdated, &next, "")
	}
	return reply{outcome: outcome{id: h.ID, version: next.Version, count: 1}, record: raw}
}

// patchUser applies one merge patch to all of a user's live sessions, or to
// none of them.
func (e *entry) patchUser(env *envelope) reply {
	body := bodyOf(e, env, decodePatchUser)
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	if user, confined := s.user(); !s.service || body.UserID == "" || (confined && user != body.UserID) {
		return refuse(codeForbidden)
	}
	sessions := e.userSessions(body.UserID)
	changed := make(map[int]record, len(sessions))
	size := 0
	for i := range sessions {
		next := sessions[i].record
		var differs bool
		var err error
		if next.Session, differs, err = next.Patched(body.Patch, e.now); err != nil {
			return refused(err)
		}
		if size += len(next.Data); size > maxPatchUserBytes {
			return refuse(codePayloadTooLarge)
		}
		if differs {
			changed[i] = next
		}
	}
	for i := range sessions {
		if next, ok := changed[i]; ok {
			e.save(&sessions[i], &next)
			e.event(session.EventUpdated, &next, "")
		}
	}
	return reply{outcome: outcome{count: uint64(len(sessions))}}
}

// refresh counts the idle expiry of the actor's own session anew.
func (e *entry) refresh(env *envelope) reply {
	s, c := e.authorize(env.Actor)
	if c != codeOK {
		return refuse(c)
	}
	h, c := e.target(&s, session.ID{})
	if c != codeOK {
		return refuse(c)
	}
	next := h.record
	next.Session = h.Refreshed(e.now, s.client)
	raw := e.save(&h, &next)
	e.event(session.EventRefreshed, &next, "")
	return reply{outcome: outcome{id: h.ID, version: next.Version, count: 1}, record: raw}
}

// touch records activity that nodes have seen. It never revives a session, and
// no event tells of it.
func (e *entry) touch(env *envelope) reply {
	body := bodyOf(e, env, decodeTouch)
	var p reply
	for _, t := range body.Touches {
		h, ok := e.live(t.ID)
		if !ok || t.Active <= h.LastActiveAt {
			continue
		}
		next := h.record
		next.Session = h.Touched(min(t.Active, e.now), session.Client{IP: t.IP, UserAgent: t.UserAgent})
		e.save(&h, &next)
		p.count++
	}
	return p
}
