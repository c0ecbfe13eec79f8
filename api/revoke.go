package api

import (
	"encoding/json"
	"strconv"

	"github.com/holdfastdb/holdfast/session"
)

// deleteCurrent answers DELETE /api/sessions/current/, the logout. A token that is dead already, or never was one, gets
// the same 204: the caller wanted no session and has none.
func (s *Server) deleteCurrent(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	if _, err := who.needSession(); err != nil && !who.sent {
		return err
	}
	if who.parsed {
		request := session.Revoke{Actor: c.actor(&who)}
		if request.Idempotency, err = c.idempotency(&who, nil); err != nil {
			return err
		}
		outcome, err := s.sessions.Revoke(&c.ctx, request)
		if err != nil && session.CodeOf(err) != session.CodeSessionInvalid {
			return err
		}
		c.index = outcome.Index
	}
	c.clearToken()
	c.clearIndex()
	return c.noContent()
}

// invalidateAll answers POST /api/sessions/invalidate-all/.
func (s *Server) invalidateAll(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	if who.credential == credentialNone || who.sent && !who.parsed {
		return session.ErrSessionInvalid
	}
	wait, err := c.wait()
	if err != nil {
		return err
	}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	var request session.RevokeUser
	err = members(body, func(name string, value json.RawMessage) error {
		switch name {
		case "keep_current":
			return boolean(name, value, &request.KeepCurrent)
		case "user_id":
			return text(name, value, &request.UserID)
		}
		return unknownMember(name)
	})
	if err != nil {
		return err
	}
	if err := session.ValidUserID(request.UserID); err != nil {
		return err
	}
	if err := s.whoseSessions(c, &who, &request); err != nil {
		return err
	}
	request.Actor = c.actor(&who)
	if request.Idempotency, err = c.idempotency(&who, body); err != nil {
		return err
	}
	outcome, err := s.sessions.RevokeUser(&c.ctx, request)
	if err != nil {
		return err
	}
	if who.credential == credentialSession && !request.KeepCurrent {
		c.clearToken()
	}
	if !wait {
		return c.answerCount("revoked", outcome, nil)
	}
	on, missing, err := s.cluster.Applied(&c.ctx, outcome.Index.Index)
	if err != nil {
		// What was asked for is done. Only who has it is not known.
		s.log.Warn("nobody can be asked who has applied a log out everywhere", "error", err, "request_id", c.requestID())
	}
	proof := appendTexts([]byte(`,"applied_on":`), on)
	return c.answerCount("revoked", outcome, appendTexts(append(proof, `,"missing":`...), missing))
}

// whoseSessions settles the user whose sessions end.
func (s *Server) whoseSessions(c *call, who *caller, request *session.RevokeUser) error {
	if !who.parsed && request.KeepCurrent {
		return session.ErrInvalidRequest.With("\"keep_current\" needs a session token: without one no session is the current one")
	}
	named := request.UserID
	switch {
	case who.credential == credentialLogin:
		request.UserID = who.login.UserID
		if named != "" && named != request.UserID {
			return session.ErrForbidden.With("the member \"user_id\" is not the user of the login JWT")
		}
	case who.parsed && named != "":
		view, err := s.sessions.Get(&c.ctx, who.token, c.client, false, session.Consistency{Doubt: c.doubt(who)})
		if err != nil {
			return err
		}
		if view.Session.UserID != named {
			return session.ErrForbidden.With("the member \"user_id\" is not the user of the session")
		}
		request.UserID = "" // the session's own, which the command's actor says
	case !who.parsed && named == "":
		return session.ErrInvalidRequest.With("the member \"user_id\" is needed with a service key alone")
	}
	return nil
}

// wait reads ?wait=: whether the answer waits until every member that can be reached has applied the write.
func (c *call) wait() (bool, error) {
	text, there, err := c.query("wait")
	if err != nil || !there {
		return false, err
	}
	if text != "all" {
		return false, session.ErrInvalidRequest.With("the parameter wait must be all")
	}
	return true, nil
}

// appendTexts writes an array of strings.
func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, text)
	}
	return append(dst, ']')
}

// answerCount sends {"<what>":n,"index":i}. Extra, if any, is further members, as ,"name":value.
func (c *call) answerCount(what string, outcome session.Outcome, extra []byte) error {
	c.index = outcome.Index
	c.setIndex(outcome.Index)
	body := make([]byte, 0, 64)
	body = append(body, `{"`...)
	body = append(body, what...)
	body = append(body, `":`...)
	body = appendInt(body, int64(outcome.Count))
	body = append(body, `,"index":`...)
	body = strconv.AppendUint(body, outcome.Index.Index, 10)
	body = append(body, extra...)
	return c.answer(200, append(body, "}\n"...))
}
