package api

import (
	"errors"
	"mime"
	"net/url"

	"github.com/holdfastdb/holdfast/session"
)

// backchannelLogout answers POST /api/backchannel-logout/ (OpenID Connect Back-Channel Logout 1.0, section 2.5): an
// identity provider says which of its logins are over. The provider's signature is all the credential that it has.
func (s *Server) backchannelLogout(c *call) error {
	c.client.IP = s.proxies.client(c.r)
	if err := s.limits.check(c); err != nil {
		return err
	}
	if s.cfg.Logins == nil {
		return session.ErrNotFound.With("this cluster accepts no login JWTs, and so no logout tokens either")
	}
	text, err := c.logoutToken()
	if err != nil {
		return err
	}
	logout, err := s.cfg.Logins.VerifyLogout(&c.ctx, text)
	if err != nil {
		if limited := c.bad(&caller{}); limited != nil {
			return limited
		}
		return refusedLogout(err)
	}
	outcome, err := s.sessions.RevokeLogin(&c.ctx, session.RevokeLogin{
		Issuer: logout.Issuer, SID: logout.SID, Subject: logout.Subject, UserID: logout.UserID, TokenID: logout.ID,
	})
	if errors.Is(err, session.ErrIdempotencyConflict) {
		return session.ErrInvalidRequest.With("the logout token was used before")
	}
	if err != nil {
		return err
	}
	return c.answerCount("revoked", outcome, nil)
}

// refusedLogout gives a logout token that is not accepted the status that section 2.8 asks for. What is this node's own
// trouble keeps its own.
func refusedLogout(err error) error {
	if refused, ok := errors.AsType[*session.Error](err); ok && refused.Code == session.CodeLoginInvalid {
		return session.ErrInvalidRequest.With("%s", refused.Detail)
	}
	return err
}

// logoutToken reads the form.
func (c *call) logoutToken() (string, error) {
	text, _, err := c.header(headerContentType)
	if err != nil {
		return "", err
	}
	if media, _, err := mime.ParseMediaType(text); err != nil || media != "application/x-www-form-urlencoded" || c.r.Header[headerContentCode] != nil {
		return "", session.ErrUnsupportedMediaType.With("the Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := c.readAll()
	if err != nil {
		return "", err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["logout_token"]) != 1 || form["logout_token"][0] == "" {
		return "", session.ErrInvalidRequest.With("the form must hold one logout_token")
	}
	return form["logout_token"][0], nil
}
