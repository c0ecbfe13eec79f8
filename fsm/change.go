package fsm

import (
	"time"

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
	return e.extend(&h)
}

// extend counts a session's idle expiry anew.
func (e *entry) extend(h *held) reply {
	next := h.record
	next.Session = h.Refreshed(e.now)
	raw := e.save(h, &next)
	e.event(session.EventRefreshed, &next, "")
	return reply{outcome: outcome{id: h.ID, version: next.Version, count: 1}, record: raw}
}

// touch records activity that nodes have seen. It never revives a session. An
// event tells only of a client that looks like another than before.
func (e *entry) touch(env *envelope) reply {
	body := bodyOf(e, env, decodeTouch)
	var p reply
	for i := range body.Touches {
		t := &body.Touches[i]
		h, ok := e.live(t.ID)
		if !ok {
			continue
		}
		c := session.Client{IP: t.IP, UserAgent: t.UserAgent}
		strange := e.strange(&h, c, &body)
		if strange == "" && t.Active <= h.LastActiveAt {
			continue
		}
		p.count++
		if strange != "" && session.ClientChange(body.Change) == session.ClientChangeRevoke {
			e.event(session.EventSuspicious, &h.record, strange)
			e.end(&h, session.EventRevoked, reasonClient)
			continue
		}
		next := h.record
		next.Session = h.Touched(min(max(t.Active, h.LastActiveAt), e.now), c)
		if strange != "" {
			next.StrangeAt = e.now
			e.event(session.EventSuspicious, &next, strange)
		}
		e.save(&h, &next)
	}
	return p
}

// strange says why a touch is an event, empty if it is none.
func (e *entry) strange(h *held, c session.Client, b *touchBody) string {
	gap := time.Duration(b.GapMillis) * time.Millisecond
	switch session.ClientChange(b.Change) {
	case session.ClientChangeRevoke:
		return h.Device.Strange(c)
	case session.ClientChangeLog:
		if h.StrangeAt == 0 || e.now.Sub(h.StrangeAt) >= gap {
			return h.Device.Strange(c)
		}
	}
	return ""
}
