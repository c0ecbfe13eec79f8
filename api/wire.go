package api

import (
	"net/http"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// refusals says what was wrong with bytes that never became a request.
var refusals = map[refusal]*session.Error{
	refusedMalformed:  session.ErrInvalidRequest.With("the request is not well-formed HTTP/1.1, or uses a transfer coding or an expectation that is not supported"),
	refusedLineFeed:   session.ErrInvalidRequest.With("a line of the request's head ends in a bare line feed"),
	refusedFolded:     session.ErrInvalidRequest.With("a header of the request is folded over several lines"),
	refusedTwoLengths: session.ErrInvalidRequest.With("the request gives the length of its body twice"),
	refusedOldCoding:  session.ErrInvalidRequest.With("a request of HTTP/1.0 has no transfer coding"),
	refusedPlain:      session.ErrInvalidRequest.With("this port speaks HTTPS: the request came without TLS"),
	refusedHeadSize:   session.ErrHeadersTooLarge.With("the head of the request may have at most 16 KiB"),
}

// wireProblem is a whole HTTP answer to a request that was refused before it reached a handler.
func (s *Server) wireProblem(why refusal) []byte {
	refused := refusals[why]
	look := failures[refused.Code]
	s.metrics.count(s.routes.unknown, 0, look.status)
	c := &call{s: s}
	c.drawID()
	body := appendProblem(nil, refused.Code, look.title, look.status, refused.Detail, c.requestID(), nil)
	head := "HTTP/1.1 " + decimal(look.status) + " " + http.StatusText(look.status) +
		"\r\nContent-Type: application/problem+json" +
		"\r\nCache-Control: no-store" +
		"\r\nConnection: close" +
		"\r\nContent-Length: " + decimal(len(body)) +
		"\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\nHoldfast-Index: " + s.sessions.Index().String() +
		"\r\nHoldfast-Node: " + s.cfg.NodeID +
		"\r\nHoldfast-Request-ID: " + c.requestID() + "\r\n\r\n"
	return append([]byte(head), body...)
}
