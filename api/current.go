package api

import (
	"encoding/json"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// current answers GET and HEAD /api/sessions/current/, the call that every page of a frontend makes.
func (s *Server) current(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	view, err := s.ownSession(c, &who)
	if err != nil {
		return err
	}
	same, err := c.ifNoneMatch(view.Session.Version)
	if err != nil {
		return err
	}
	if same {
		c.index = view.Index
		s.sessionHeaders(c, &view)
		c.head(http.StatusNotModified)
		return nil
	}
	return s.answerSession(c, http.StatusOK, &view, "", true)
}

// ownSession reads the session that the request acts for.
func (s *Server) ownSession(c *call, who *caller) (session.View, error) {
	at, err := c.consistency(who)
	if err != nil {
		return session.View{}, err
	}
	touch, err := c.touch()
	if err != nil {
		return session.View{}, err
	}
	token, err := who.needSession()
	if err != nil {
		return session.View{}, err
	}
	return s.sessions.Get(&c.ctx, token, c.client, touch, at)
}

// patchCurrent answers PATCH /api/sessions/current/.
func (s *Server) patchCurrent(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := who.needSession(); err != nil {
		return err
	}
	request, err := c.dataPatch(&who)
	if err != nil {
		return err
	}
	return s.patch(c, request, true)
}

// dataPatch reads a merge patch of one session's data, and its conditions.
func (c *call) dataPatch(who *caller) (session.Patch, error) {
	if _, err := c.consistency(who); err != nil {
		return session.Patch{}, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return session.Patch{}, err
	}
	body, err := c.patchBody()
	if err != nil {
		return session.Patch{}, err
	}
	request := session.Patch{Actor: c.actor(who), Patch: body, IfVersion: version}
	request.Idempotency, err = c.idempotency(who, body)
	return request, err
}

// patchBody reads the body of a merge patch; what is in it is the domain's to check.
func (c *call) patchBody() ([]byte, error) {
	body, err := c.readBody(true)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, session.ErrInvalidRequest.With("the body must be a merge patch: a JSON object with the keys of data to change")
	}
	return body, nil
}

func (s *Server) patch(c *call, request session.Patch, current bool) error {
	view, err := s.sessions.Patch(&c.ctx, request)
	if err != nil {
		return err
	}
	c.setIndex(view.Index)
	return s.answerSession(c, http.StatusOK, &view, "", current)
}

// refresh answers POST /api/sessions/refresh/.
func (s *Server) refresh(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	token, err := who.needSession()
	if err != nil {
		return err
	}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	request := session.Refresh{Actor: c.actor(&who), Token: token}
	err = members(body, func(name string, value json.RawMessage) error {
		if name == "rotate" {
			return boolean(name, value, &request.Rotate)
		}
		return unknownMember(name)
	})
	if err != nil {
		return err
	}
	if request.Idempotency, err = c.idempotency(&who, body); err != nil {
		return err
	}
	refreshed, err := s.sessions.Refresh(&c.ctx, request)
	if err != nil {
		return err
	}
	text := ""
	if refreshed.Token != nil {
		text = refreshed.Token.Reveal()
		// What is left of the absolute lifetime, by the log's clock.
		c.setToken(text, refreshed.Session.AbsoluteExpiresAt.Sub(refreshed.Now))
	}
	c.setIndex(refreshed.Index)
	return s.answerSession(c, http.StatusOK, &refreshed.View, text, true)
}
