package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// create answers POST /api/sessions/create/.
func (s *Server) create(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	switch who.credential {
	case credentialNone:
		return session.ErrLoginInvalid.With("Creating a session needs a login JWT (`Authorization: Bearer <jwt>`) or a service key.")
	case credentialSession:
		return session.ErrForbidden.With("A session token cannot create a session: that needs a login JWT or a service key.")
	}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	request, err := parseCreate(body)
	if err != nil {
		return err
	}
	if who.credential == credentialLogin {
		if err = pay(c, s.limits.creates, rateLogins); err == nil {
			err = s.createForLogin(&request, &who)
		}
	} else {
		err = s.createForService(c, &request, &who)
	}
	if err != nil {
		return err
	}
	request.Actor = c.actor(&who)
	if request.Idempotency, err = c.idempotency(&who, body); err != nil {
		return err
	}
	created, err := s.sessions.Create(&c.ctx, request)
	if err != nil {
		return err
	}
	text := created.Token.Reveal()
	c.setToken(text, created.Session.AbsoluteExpiresAt.Sub(created.Session.CreatedAt))
	c.setIndex(created.Index)
	return s.answerSession(c, http.StatusCreated, &created.View, text, true)
}

// createForLogin fills in what the JWT says, and refuses a body that says otherwise. Timeouts may be shortened: they
// are the user's own, but a longer life than the operator chose is not the user's to give.
func (s *Server) createForLogin(request *session.Create, who *caller) error {
	login := &who.login
	switch {
	case request.UserID != "" && request.UserID != login.UserID:
		return session.ErrForbidden.With("the member \"user_id\" is not the user of the login JWT")
	case request.TenantID != "" && request.TenantID != login.TenantID:
		return session.ErrForbidden.With("the member \"tenant_id\" is not the tenant of the login JWT")
	case request.Auth != (session.Auth{}):
		return session.ErrForbidden.With("the member \"auth\" needs a service key: with a login JWT it comes from the JWT")
	case longer(request.IdleTimeout, s.cfg.Policy.IdleTimeout), longer(request.AbsoluteTimeout, s.cfg.Policy.AbsoluteTimeout):
		return session.ErrForbidden.With("timeouts longer than the operator's need a service key")
	}
	request.UserID, request.TenantID = login.UserID, login.TenantID
	request.Auth = session.Auth{
		Issuer: login.Issuer, Subject: login.Subject, SID: login.SID, Method: "jwt", Time: session.FromStd(login.AuthTime),
	}
	return nil
}

func longer(asked, allowed time.Duration) bool { return allowed > 0 && asked > allowed }

// createForService confines a request with Holdfast-Session to that session's user. An anonymous session has none, so
// that it may become anybody's; one that is dead is no reason to refuse a login.
func (s *Server) createForService(c *call, request *session.Create, who *caller) error {
	if !who.parsed {
		return nil
	}
	view, err := s.sessions.Get(&c.ctx, who.token, c.client, false, session.Consistency{})
	switch {
	case session.CodeOf(err) == session.CodeSessionInvalid:
		return nil
	case err != nil:
		return err
	case view.Session.UserID != "" && request.UserID != view.Session.UserID:
		return session.ErrForbidden.With("with Holdfast-Session a session can be made for that session's user only")
	}
	return nil
}

func parseCreate(body []byte) (session.Create, error) {
	var request session.Create
	err := members(body, func(name string, value json.RawMessage) error {
		switch name {
		case "user_id":
			return text(name, value, &request.UserID)
		case "tenant_id":
			return text(name, value, &request.TenantID)
		case "data":
			if !isNull(value) {
				request.Data = value
			}
			return nil
		case "idle_timeout":
			return duration(name, value, &request.IdleTimeout)
		case "absolute_timeout":
			return duration(name, value, &request.AbsoluteTimeout)
		case "auth":
			return parseAuth(value, &request.Auth)
		case "carry":
			return parseCarry(value, &request.Carry)
		}
		return unknownMember(name)
	})
	return request, err
}

func parseCarry(value json.RawMessage, carry *[]string) error {
	var keys []string
	if err := json.Unmarshal(value, &keys); err != nil {
		return session.ErrInvalidRequest.With("the member \"carry\" must be an array of strings")
	}
	*carry = keys
	return nil
}

func parseAuth(value json.RawMessage, auth *session.Auth) error {
	if isNull(value) {
		return nil
	}
	return members(value, func(name string, value json.RawMessage) error {
		switch name {
		case "issuer":
			return text("auth.issuer", value, &auth.Issuer)
		case "subject":
			return text("auth.subject", value, &auth.Subject)
		case "sid":
			return text("auth.sid", value, &auth.SID)
		case "method":
			return text("auth.method", value, &auth.Method)
		case "time":
			var at time.Time
			if err := json.Unmarshal(value, &at); err != nil {
				return session.ErrInvalidRequest.With("the member \"auth.time\" must be a time of RFC 3339, such as 2025-01-31T12:00:00.000Z")
			}
			if !at.IsZero() {
				auth.Time = session.FromStd(at)
			}
			return nil
		}
		return unknownMember("auth." + name)
	})
}
