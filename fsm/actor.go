package fsm

import "github.com/holdfastdb/holdfast/session"

// standing is an actor whose claims hold at the entry's time.
type standing struct {
	service bool
	own     *held // the session that the actor acts for
	login   *wireLogin
	client  session.Client
}

// authorize checks what the command was made on the strength of. Only here can
// it be: a node that proposes may be behind, and not know that a session was
// revoked.
func (e *entry) authorize(a *wireActor) (standing, code) {
	if a == nil {
		return standing{}, codeSessionInvalid
	}
	s := standing{service: a.Service, client: a.client()}
	if !a.SessionID.IsZero() {
		h, ok := e.presented(a)
		if !ok {
			return standing{}, codeSessionInvalid
		}
		s.own = &h
	}
	if a.Login != nil {
		if !e.accepts(a.Login) {
			return standing{}, codeLoginInvalid
		}
		s.login = a.Login
	}
	switch {
	case !s.service && s.own == nil && s.login == nil:
		return standing{}, codeSessionInvalid
	case s.own != nil && s.login != nil && s.own.UserID != s.login.UserID:
		return standing{}, codeForbidden
	}
	return s, codeOK
}

// presented is the live session whose token the actor showed.
func (e *entry) presented(a *wireActor) (held, bool) {
	if a.SessionID.IsZero() {
		return held{}, false
	}
	h, ok := e.live(a.SessionID)
	if !ok {
		return held{}, false
	}
	is := h.Standing(a.Hash, e.now)
	return h, is == session.Current || is == session.InGrace
}

// accepts says whether a login is younger than its user's log out everywhere.
func (e *entry) accepts(l *wireLogin) bool {
	a, _ := e.account(l.UserID)
	return !a.refuses(l.IssuedAt)
}

// user is the user that the actor is confined to; ok is false for a service
// alone, which is not. An anonymous session is confined to itself: its user is
// empty.
func (s *standing) user() (user string, confined bool) {
	switch {
	case s.own != nil:
		return s.own.UserID, true
	case s.login != nil:
		return s.login.UserID, true
	}
	return "", false
}

// reaches says whether the actor may act on a session.
func (s *standing) reaches(h *held) bool {
	if s.own != nil && s.own.ID == h.ID {
		return true
	}
	user, confined := s.user()
	return !confined || (user != "" && user == h.UserID)
}

// target finds the live session that a command names, zero for the actor's
// own. What the actor may not reach looks like what is not there.
func (e *entry) target(s *standing, id session.ID) (held, code) {
	if id.IsZero() {
		if s.own == nil {
			return held{}, codeSessionInvalid
		}
		return *s.own, codeOK
	}
	h, ok := e.live(id)
	if !ok || !s.reaches(&h) {
		return held{}, codeNotFound
	}
	return h, codeOK
}
