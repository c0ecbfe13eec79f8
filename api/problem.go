package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

var problemContent = []string{"application/problem+json"}

// fail answers an error as a problem document (RFC 9457). An error that is none of the domain's is logged in full and
// answered bare.
func (c *call) fail(err error) {
	if c.status != 0 {
		c.s.log.Error("request failed after its answer had begun", "error", err, "request_id", c.requestID())
		return
	}
	code, detail := session.CodeInternal, "The request could not be served."
	known, ok := errors.AsType[*session.Error](err)
	switch {
	case ok:
		code, detail = known.Code, known.Detail
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code, detail = c.timedOut()
	}
	look, ok := failures[code]
	if !ok {
		code, look, detail = session.CodeInternal, failures[session.CodeInternal], "The request could not be served."
	}
	if code == session.CodeInternal {
		c.s.log.Error("request failed", "error", err, "request_id", c.requestID(), "route", c.routeName())
		detail = "The request could not be served."
	}
	c.problem(code, look.status, detail, nil)
}

// timedOut is the code of a request whose deadline ended the work: a write may have been made.
func (c *call) timedOut() (session.Code, string) {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return session.CodeOverloaded, "The request was not finished in time."
	}
	return session.CodeOutcomeUnknown, "The request was not finished in time; it may yet be made."
}

// problem writes the document. Extra, if any, is a further member, as ,"name":value.
func (c *call) problem(code session.Code, status int, detail string, extra []byte) {
	look := failures[code]
	c.code = code
	requestID := c.requestID()
	if code == session.CodeSessionInvalid {
		detail = sessionInvalidDetail
	}
	if status == http.StatusUnauthorized {
		requestID = "" // the bodies of two refusals must not differ
	}
	if detail == "" {
		detail = look.title
	}
	h := c.w.Header()
	h[headerContentType] = problemContent
	delete(h, headerETag)
	if look.retryAfter != "" && h[headerRetryAfter] == nil {
		c.set(headerRetryAfter, look.retryAfter)
	}
	if look.challenge != "" {
		c.set(headerChallenge, look.challenge)
	}
	_ = c.send(status, appendProblem(nil, code, look.title, status, detail, requestID, extra))
}

func appendProblem(dst []byte, code session.Code, title string, status int, detail, requestID string, extra []byte) []byte {
	dst = append(dst, `{"type":"/errors/`...)
	dst = append(dst, code...)
	dst = append(dst, `","title":`...)
	dst = appendString(dst, title)
	dst = append(dst, `,"status":`...)
	dst = appendInt(dst, int64(status))
	dst = append(dst, `,"code":"`...)
	dst = append(dst, code...)
	dst = append(dst, `","detail":`...)
	dst = appendString(dst, detail)
	if requestID != "" {
		dst = append(dst, `,"request_id":`...)
		dst = appendString(dst, requestID)
	}
	dst = append(dst, extra...)
	return append(dst, "}\n"...)
}
