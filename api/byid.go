package api

import (
	"encoding/json"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// target reads the id of the path. An id that is none is as unknown as any other.
func (c *call) target() (session.ID, error) {
	id, err := session.ParseID(c.params.ByName("id"))
	if err != nil {
		return session.ID{}, noSuchSession()
	}
	return id, nil
}

func noSuchSession() error {
	return session.ErrNotFound.With("there is no such session, or it is not yours")
}

// aloneOrOwn settles who may name a session by its id: a service key alone any, a session token those of its user.
func (w *caller) aloneOrOwn() (alone bool, err error) {
	if w.credential == credentialKey && !w.sent {
		return true, nil
	}
	_, err = w.needSession()
	return false, err
}

// byID answers GET /api/sessions/by-id/:id/.
func (s *Server) byID(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	alone, err := who.aloneOrOwn()
	if err != nil {
		return err
	}
	view, own, err := s.readByID(c, &who, alone)
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
	return s.answerSession(c, http.StatusOK, &view, "", own)
}

func (s *Server) readByID(c *call, who *caller, alone bool) (view session.View, own bool, err error) {
	at, err := c.consistency(who)
	if err != nil {
		return view, false, err
	}
	user := ""
	if !alone {
		mine, err := s.ownSession(c, who)
		if err != nil {
			return view, false, err
		}
		id, err := c.target()
		if err != nil || id == mine.Session.ID {
			return mine, true, err
		}
		if user = mine.Session.UserID; user == "" {
			return view, false, noSuchSession()
		}
		at = session.Consistency{AtLeast: mine.Index}
	}
	id, err := c.target()
	if err != nil {
		return view, false, err
	}
	view, err = s.sessions.ByID(&c.ctx, id, at)
	if err == nil && !alone && view.Session.UserID != user {
		err = noSuchSession()
	}
	return view, false, err
}

// patchByID answers PATCH /api/sessions/by-id/:id/: a label for one's own session, or a merge patch of data with a
// service key alone.
func (s *Server) patchByID(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	alone, err := who.aloneOrOwn()
	if err != nil {
		return err
	}
	var request session.Patch
	if alone {
		request, err = c.dataPatch(&who)
	} else {
		request, err = c.labelPatch(&who)
	}
	if err != nil {
		return err
	}
	if request.Target, err = c.target(); err != nil {
		return err
	}
	return s.patch(c, request, who.parsed && request.Target == who.token.ID)
}

func (c *call) labelPatch(who *caller) (session.Patch, error) {
	if _, err := c.consistency(who); err != nil {
		return session.Patch{}, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return session.Patch{}, err
	}
	body, err := c.readBody(true)
	if err != nil {
		return session.Patch{}, err
	}
	request := session.Patch{Actor: c.actor(who), IfVersion: version}
	err = members(body, func(name string, value json.RawMessage) error {
		if name != "label" {
			return session.ErrInvalidRequest.With("the member %q is not known here: with a session token only the label can be changed", shortened(name))
		}
		request.Label = new(string) // null takes the label away
		return text(name, value, request.Label)
	})
	if err != nil {
		return session.Patch{}, err
	}
	if request.Label == nil {
		return session.Patch{}, session.ErrInvalidRequest.With("the member \"label\" is needed")
	}
	request.Idempotency, err = c.idempotency(who, body)
	return request, err
}

// deleteByID answers DELETE /api/sessions/by-id/:id/.
func (s *Server) deleteByID(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := who.aloneOrOwn(); err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	request := session.Revoke{Actor: c.actor(&who)}
	if request.Target, err = c.target(); err != nil {
		return err
	}
	if request.Idempotency, err = c.idempotency(&who, nil); err != nil {
		return err
	}
	outcome, err := s.sessions.Revoke(&c.ctx, request)
	if err != nil {
		return err
	}
	c.index = outcome.Index
	c.setIndex(outcome.Index)
	if who.credential == credentialSession && request.Target == who.token.ID {
		c.clearToken()
	}
	return c.noContent()
}
