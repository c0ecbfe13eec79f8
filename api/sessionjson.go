package api

import (
	"strconv"
	"sync"

	"github.com/holdfastdb/holdfast/session"
)

// bodies keeps the buffers that answers are written into.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// maxPooledBody keeps one large answer from holding its memory for ever.
const maxPooledBody = 256 << 10

func putBody(p *[]byte, b []byte) {
	if cap(b) <= maxPooledBody {
		*p = b[:0]
		bodies.Put(p)
	}
}

// appendSession writes the session object of the API. Its data is canonical JSON already and is copied as it is.
func (s *Server) appendSession(dst []byte, x *session.Session, now session.Time, current bool) []byte {
	expires := x.ExpiresAt()
	dst = append(dst, `{"id":"`...)
	dst = appendID(dst, x.ID)
	dst = append(dst, `","user_id":`...)
	dst = appendOptional(dst, x.UserID)
	dst = append(dst, `,"tenant_id":`...)
	dst = appendOptional(dst, x.TenantID)
	dst = append(dst, `,"data":`...)
	dst = append(dst, x.Data...)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, x.Version, 10)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, x.CreatedAt)
	dst = append(dst, `,"updated_at":`...)
	dst = appendTime(dst, x.UpdatedAt)
	dst = append(dst, `,"last_active_at":`...)
	dst = appendTime(dst, x.LastActiveAt)
	dst = append(dst, `,"idle_expires_at":`...)
	dst = appendTime(dst, x.IdleExpiresAt())
	dst = append(dst, `,"absolute_expires_at":`...)
	dst = appendTime(dst, x.AbsoluteExpiresAt)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTime(dst, expires)
	dst = append(dst, `,"expires_in":`...)
	dst = appendInt(dst, wholeSeconds(expires.Sub(now)))
	dst = append(dst, `,"auth":{"issuer":`...)
	dst = appendOptional(dst, x.Auth.Issuer)
	dst = append(dst, `,"subject":`...)
	dst = appendOptional(dst, x.Auth.Subject)
	dst = append(dst, `,"method":`...)
	dst = appendOptional(dst, x.Auth.Method)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, x.Auth.Time)
	dst = append(dst, `},"device":{"ip":`...)
	dst = appendOptional(dst, x.Device.IP)
	dst = append(dst, `,"user_agent":`...)
	dst = appendOptional(dst, x.Device.UserAgent)
	dst = append(dst, `,"name":`...)
	dst = appendOptional(dst, s.devices.name(x.Device.UserAgent))
	dst = append(dst, `,"first_ip":`...)
	dst = appendOptional(dst, x.Device.FirstIP)
	dst = append(dst, `,"label":`...)
	dst = appendOptional(dst, x.Device.Label)
	dst = append(dst, `},"is_current":`...)
	if current {
		return append(dst, "true}"...)
	}
	return append(dst, "false}"...)
}

// appendOptional writes a text, or null where there is none: every member of the object is always there.
func appendOptional(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, text)
}

// appendID writes the text of an id.
func appendID(dst []byte, id session.ID) []byte {
	dst, _ = id.AppendText(dst) // the error is always nil
	return dst
}

// answerSession sends {"session":…} of a view, with the token first if there is one, and the headers that go with it.
func (s *Server) answerSession(c *call, status int, view *session.View, token string, current bool) error {
	c.index = view.Index
	s.sessionHeaders(c, view)
	pooled := bodies.Get().(*[]byte)
	body := (*pooled)[:0]
	if token != "" {
		body = append(body, `{"token":`...)
		body = appendString(body, token)
		body = append(body, `,"session":`...)
	} else {
		body = append(body, `{"session":`...)
	}
	body = s.appendSession(body, &view.Session, view.Now, current)
	body = append(body, "}\n"...)
	err := c.answer(status, body)
	putBody(pooled, body)
	return err
}

// sessionHeaders sets ETag, Holdfast-Expires-In, Holdfast-Index and Holdfast-Request-ID from one string: four headers
// for one allocation.
func (s *Server) sessionHeaders(c *call, view *session.View) {
	var buf [128]byte
	text := append(buf[:0], '"')
	text = strconv.AppendUint(text, view.Session.Version, 10)
	text = append(text, '"')
	etag := len(text)
	text = appendInt(text, wholeSeconds(view.Session.ExpiresAt().Sub(view.Now)))
	expires := len(text)
	text = appendIndex(text, view.Index)
	index := len(text)
	text = append(text, c.idText[:]...)
	all := string(text)
	c.set(headerETag, all[:etag])
	c.set(headerExpiresIn, all[etag:expires])
	if !view.Index.IsZero() {
		c.set(headerIndex, all[expires:index])
	}
	c.set(headerRequestID, all[index:])
}

// appendIndex writes the text of an index.
func appendIndex(dst []byte, at session.Index) []byte {
	dst, _ = at.AppendText(dst) // the error is always nil
	return dst
}
