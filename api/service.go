package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// patchUser answers PATCH /api/sessions/?user_id=: one merge patch for all live sessions of a user.
func (s *Server) patchUser(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	if err := who.needKey(); err != nil {
		return err
	}
	if _, err := c.consistency(&who); err != nil {
		return err
	}
	user, _, err := c.query("user_id")
	if err != nil {
		return err
	}
	if user == "" {
		return session.ErrInvalidRequest.With("the parameter user_id is needed")
	}
	if err := errors.Join(session.ValidUserID(user), c.noIfMatch()); err != nil {
		return err
	}
	if who.sent {
		token, err := who.needSession()
		if err != nil {
			return err
		}
		view, err := s.sessions.Get(&c.ctx, token, c.client, false, session.Consistency{})
		if err != nil {
			return err
		}
		if view.Session.UserID != user {
			return session.ErrForbidden.With("with Holdfast-Session only that session's user can be named")
		}
	}
	body, err := c.patchBody()
	if err != nil {
		return err
	}
	request := session.PatchUser{Actor: c.actor(&who), UserID: user, Patch: body}
	if request.Idempotency, err = c.idempotency(&who, body); err != nil {
		return err
	}
	outcome, err := s.sessions.PatchUser(&c.ctx, request)
	if err != nil {
		return err
	}
	return c.answerCount("updated", outcome, nil)
}

// serviceAlone demands a service key that speaks for no user, as what is asked for is of all of them, and says how fresh
// the answer must be.
func (c *call) serviceAlone(because string) (who caller, at session.Consistency, err error) {
	if who, err = c.identify(); err != nil {
		return who, at, err
	}
	if err := who.needKey(); err != nil {
		return who, at, err
	}
	if who.sent {
		return who, at, session.ErrForbidden.With("%s: ask without Holdfast-Session", because)
	}
	at, err = c.consistency(&who)
	return who, at, err
}

// statsAnswer is the body of GET /api/stats/.
type statsAnswer struct {
	Sessions      uint64 `json:"sessions"`
	Users         uint64 `json:"users"`
	Created       uint64 `json:"created"`
	Revoked       uint64 `json:"revoked"`
	Expired       uint64 `json:"expired"`
	Events        uint64 `json:"events"`
	DatabaseBytes int64  `json:"database_bytes"`
}

// stats answers GET /api/stats/.
func (s *Server) stats(c *call) error {
	_, at, err := c.serviceAlone("the statistics are of all users")
	if err != nil {
		return err
	}
	stats, err := s.sessions.Stats(&c.ctx, at)
	if err != nil {
		return err
	}
	c.index = stats.Index
	return c.answerJSON(http.StatusOK, statsAnswer{
		Sessions: stats.Sessions, Users: stats.Users, Created: stats.Created, Revoked: stats.Revoked,
		Expired: stats.Expired, Events: stats.Events, DatabaseBytes: stats.DatabaseBytes,
	})
}

// answerJSON sends what is asked for too seldom to be written by hand.
func (c *call) answerJSON(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.answer(status, append(body, '\n'))
}
