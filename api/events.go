package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// ownEvents answers GET /api/sessions/events/: what has happened to the sessions of the caller's user, the oldest first.
// An anonymous session has only its own.
func (s *Server) ownEvents(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	view, err := s.ownSession(c, &who)
	if err != nil {
		return err
	}
	request := session.ListEvents{UserID: view.Session.UserID, Consistency: session.Consistency{AtLeast: view.Index}}
	if request.UserID == "" {
		request.Session = view.Session.ID
	}
	if err := c.eventPage(&request); err != nil {
		return err
	}
	return s.answerEvents(c, request)
}

// allEvents answers GET /api/events/, for services: a page, or with Accept: text/event-stream whatever happens from now on.
func (s *Server) allEvents(c *call) error {
	who, at, err := c.serviceAlone("these events are of all users")
	if err != nil {
		return err
	}
	request := session.ListEvents{Consistency: at}
	if err := c.eventFilter(&request); err != nil {
		return err
	}
	if wantsStream(c.r.Header) {
		after, err := c.resumption(s.sessions.Index())
		if err != nil {
			return err
		}
		return s.stream(c, &who, session.Follow{
			UserID: request.UserID, Session: request.Session, Type: request.Type, After: after,
		}, asItIs)
	}
	if err := c.eventPage(&request); err != nil {
		return err
	}
	return s.answerEvents(c, request)
}

// eventFilter reads which events a service wants.
func (c *call) eventFilter(request *session.ListEvents) error {
	user, there, err := c.query("user_id")
	if err != nil {
		return err
	}
	if err := session.ValidUserID(user); err != nil {
		return err
	}
	if there && user == "" {
		return session.ErrInvalidRequest.With("the parameter user_id is empty: leave it out for the events of all users")
	}
	request.UserID = user
	if text, there, err := c.query("session_id"); err != nil {
		return err
	} else if there {
		if request.Session, err = session.ParseID(text); err != nil {
			return err
		}
	}
	text, there, err := c.query("type")
	if err == nil && there {
		request.Type, err = session.ParseEventType(text)
	}
	return err
}

// eventPage reads ?after= and ?limit=.
func (c *call) eventPage(request *session.ListEvents) error {
	text, there, err := c.query("after")
	if err == nil && there {
		request.After, err = session.ParseEventID(text)
	}
	if err != nil {
		return err
	}
	request.Limit = session.DefaultEventLimit
	text, there, err = c.query("limit")
	if err != nil || !there {
		return err
	}
	request.Limit, err = strconv.Atoi(text)
	if err != nil || request.Limit < 1 || request.Limit > session.MaxEventLimit {
		return session.ErrInvalidRequest.With("the parameter limit must be 1 to %d", session.MaxEventLimit)
	}
	return nil
}

// answerEvents sends a page. "next" is there while there may be more: the id to ask on after.
func (s *Server) answerEvents(c *call, request session.ListEvents) error {
	page, err := s.sessions.ListEvents(&c.ctx, request)
	if err != nil {
		return err
	}
	c.index = page.Index
	pooled := bodies.Get().(*[]byte)
	body := append((*pooled)[:0], `{"events":[`...)
	for i := range page.Events {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendEvent(body, &page.Events[i])
	}
	body = append(body, ']')
	if page.More {
		body = appendString(append(body, `,"next":`...), page.Next.String())
	}
	err = c.answer(http.StatusOK, append(body, "}\n"...))
	putBody(pooled, body)
	return err
}

// appendEvent writes the event object of the API.
func appendEvent(dst []byte, e *session.Event) []byte {
	dst = appendString(append(dst, `{"id":`...), e.ID.String())
	dst = appendString(append(dst, `,"type":`...), e.Type.String())
	dst = appendTime(append(dst, `,"time":`...), e.Time)
	dst = append(dst, `,"session_id":"`...)
	dst = appendID(dst, e.SessionID)
	dst = appendOptional(append(dst, `","user_id":`...), e.UserID)
	dst = appendOptional(append(dst, `,"tenant_id":`...), e.TenantID)
	dst = strconv.AppendUint(append(dst, `,"version":`...), e.Version, 10)
	dst = appendOptional(append(dst, `,"reason":`...), e.Reason)
	return append(dst, '}')
}

// wantsStream says whether the caller accepts Server-Sent Events by name.
func wantsStream(h http.Header) bool {
	for _, line := range h["Accept"] {
		for media := range strings.SplitSeq(line, ",") {
			media, _, _ = strings.Cut(media, ";")
			if strings.EqualFold(strings.Trim(media, " \t"), "text/event-stream") {
				return true
			}
		}
	}
	return false
}
