package api

import (
	"encoding/json"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// introspect answers POST /api/introspect/: for each token whether it is one of a live session, and which.
func (s *Server) introspect(c *call) error {
	_, at, err := c.serviceAlone("introspection is of any user's tokens")
	if err != nil {
		return err
	}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	request := session.Introspect{Consistency: at}
	err = members(body, func(name string, value json.RawMessage) error {
		switch name {
		case "tokens":
			return parseTokens(value, &request.Tokens)
		case "touch":
			return boolean(name, value, &request.Touch)
		}
		return unknownMember(name)
	})
	if err != nil {
		return err
	}
	if request.Tokens == nil {
		return session.ErrInvalidRequest.With("the member \"tokens\" is needed: an array of at most %d session tokens", session.MaxIntrospect)
	}
	answered, err := s.sessions.Introspect(&c.ctx, request)
	if err != nil {
		return err
	}
	c.index = answered.Index
	pooled := bodies.Get().(*[]byte)
	out := append((*pooled)[:0], `{"results":[`...)
	for i := range answered.Results {
		if i > 0 {
			out = append(out, ',')
		}
		one := &answered.Results[i]
		if !one.Active {
			out = append(out, `{"active":false}`...)
			continue
		}
		out = s.appendSession(append(out, `{"active":true,"session":`...), &one.Session, answered.Now, false)
		out = append(out, '}')
	}
	err = c.answer(http.StatusOK, append(out, "]}\n"...))
	putBody(pooled, out)
	return err
}

// parseTokens reads an array of tokens. One that cannot be a token is as dead as any other.
func parseTokens(value json.RawMessage, tokens *[]*session.Token) error {
	var texts []string
	if err := json.Unmarshal(value, &texts); err != nil || texts == nil {
		return session.ErrInvalidRequest.With("the member \"tokens\" must be an array of strings")
	}
	if len(texts) > session.MaxIntrospect {
		return session.ErrInvalidRequest.With("%d tokens are too many for one call: the limit is %d", len(texts), session.MaxIntrospect)
	}
	*tokens = make([]*session.Token, len(texts))
	for i, text := range texts {
		if token, err := session.ParseToken(text); err == nil {
			(*tokens)[i] = &token
		}
	}
	return nil
}
