package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/holdfastdb/holdfast/session"
)

// list answers GET /api/sessions/.
func (s *Server) list(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	request, err := c.listRequest(&who)
	if err != nil {
		return err
	}
	var own session.ID
	switch {
	case who.credential == credentialNone:
		return session.ErrSessionInvalid
	case who.credential == credentialLogin:
		if err := ownUser(&request, who.login.UserID); err != nil {
			return err
		}
		if err := s.sessions.CheckLogin(&c.ctx, commandLogin(&who), request.Consistency); err != nil {
			return err
		}
	case who.credential == credentialSession || who.sent:
		view, err := s.ownSession(c, &who)
		if err != nil {
			return err
		}
		own = view.Session.ID
		if err := ownUser(&request, view.Session.UserID); err != nil {
			return err
		}
		if request.UserID == "" { // an anonymous session has no other beside it
			return s.answerPage(c, session.Page{Sessions: []session.Session{view.Session}, Now: view.Now, Index: view.Index}, own)
		}
		// The session was read as the request asks; the list need only not be older than that.
		request.Consistency = session.Consistency{AtLeast: view.Index}
	case (request.UserID == "") == (request.TenantID == ""):
		return session.ErrInvalidRequest.With("a service key alone needs either ?user_id= or ?tenant_id=")
	}
	page, err := s.sessions.List(&c.ctx, request)
	if err != nil {
		return err
	}
	return s.answerPage(c, page, own)
}

// listRequest reads the query.
func (c *call) listRequest(who *caller) (request session.List, err error) {
	if request.Consistency, err = c.consistency(who); err != nil {
		return request, err
	}
	if request.UserID, _, err = c.query("user_id"); err != nil {
		return request, err
	}
	if request.TenantID, _, err = c.query("tenant_id"); err != nil {
		return request, err
	}
	if err = errors.Join(session.ValidUserID(request.UserID), session.ValidTenantID(request.TenantID)); err != nil {
		return request, err
	}
	if request.Cursor, _, err = c.query("cursor"); err != nil {
		return request, err
	}
	limit, there, err := c.query("limit")
	if err != nil {
		return request, err
	}
	request.Limit = session.DefaultListLimit
	if there {
		request.Limit, err = strconv.Atoi(limit)
		if err != nil || request.Limit < 1 || request.Limit > session.MaxListLimit {
			return request, session.ErrInvalidRequest.With("the parameter limit must be 1 to %d", session.MaxListLimit)
		}
	}
	return request, nil
}

// ownUser holds a request that is made for one user to that user.
func ownUser(request *session.List, user string) error {
	if request.TenantID != "" || request.UserID != "" && request.UserID != user {
		return session.ErrForbidden.With("the sessions of others need a service key alone")
	}
	request.UserID = user
	return nil
}

func (s *Server) answerPage(c *call, page session.Page, own session.ID) error {
	c.index = page.Index
	pooled := bodies.Get().(*[]byte)
	body := append((*pooled)[:0], `{"sessions":[`...)
	for i := range page.Sessions {
		if i > 0 {
			body = append(body, ',')
		}
		x := &page.Sessions[i]
		body = s.appendSession(body, x, page.Now, x.ID == own)
	}
	body = append(body, ']')
	if page.Next != "" {
		body = appendString(append(body, `,"next":`...), page.Next)
	}
	err := c.answer(http.StatusOK, append(body, "}\n"...))
	putBody(pooled, body)
	return err
}
