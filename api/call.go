package api

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/holdfastdb/holdfast/session"
)

// The names of headers as net/http keeps them: a direct map access saves the canonicalisation of every Get and Set.
const (
	headerAllow        = "Allow"
	headerAuth         = "Authorization"
	headerCacheControl = "Cache-Control"
	headerConnection   = "Connection"
	headerContentCode  = "Content-Encoding"
	headerContentLen   = "Content-Length"
	headerContentType  = "Content-Type"
	headerCookie       = "Cookie"
	headerETag         = "Etag"
	headerIfMatch      = "If-Match"
	headerIfNoneMatch  = "If-None-Match"
	headerLastEventID  = "Last-Event-Id"
	headerRetryAfter   = "Retry-After"
	headerSetCookie    = "Set-Cookie"
	headerChallenge    = "Www-Authenticate"

	headerClientIP    = "Holdfast-Client-Ip"
	headerClientUA    = "Holdfast-Client-User-Agent"
	headerConsistency = "Holdfast-Consistency"
	headerExpiresIn   = "Holdfast-Expires-In"
	headerIdempotency = "Idempotency-Key"
	headerIndex       = "Holdfast-Index"
	headerNode        = "Holdfast-Node"
	headerRequestID   = "Holdfast-Request-Id"
	headerSession     = "Holdfast-Session"
	headerTouch       = "Holdfast-Touch"
)

// Values that many answers share. net/http copies them when the head is written and never changes them.
var (
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	noFrames    = []string{"default-src 'none'; base-uri 'none'; frame-ancestors 'none'"}
	ownOrigin   = []string{"same-origin"}
	httpsOnly   = []string{"max-age=31536000"}
	jsonContent = []string{"application/json"}
	closeConn   = []string{"close"}
)

// requestIDBytes is the length of a request id: 12 random bytes in hex. It names a request in logs, it is no secret.
const requestIDBytes = 24

// netHTTPSetsLength is the size up to which net/http finds out the Content-Length by itself.
const netHTTPSetsLength = 2000

// call is one request on its way through the handlers. It is the http.ResponseWriter of the few handlers that are not
// ours, and remembers what was answered for the log and the metrics. A call is never used again for another request,
// as its context may outlive the answer.
type call struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	ctx    deadline
	began  time.Time
	route  *route
	params httprouter.Params

	index   session.Index // of the answer; zero means what this node has applied
	keyName string        // of the service or operator key, for the log
	client  session.Client
	code    session.Code // of the problem that was answered
	status  int          // 0 until the head is written
	size    int          // bytes of the body
	endSpan func(Traced) // nil if the request is not traced
	idText  [requestIDBytes]byte

	queryValues url.Values // once queryRead

	// Small ones side by side: with one word more, a call would cost 64 bytes more.
	queryRead bool
	operator  bool // the key is an operator key
	streamed  bool // the answer was an event stream
	used      int8 // of values

	values [12]string // backs the header values, so that a header costs no slice of its own
}

func (c *call) drawID() {
	var raw [requestIDBytes / 2]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint32(raw[8:], rand.Uint32())
	hex.Encode(c.idText[:], raw[:])
}

// requestID is the name of this request. None is accepted from outside: it would let a caller forge the log's lines.
func (c *call) requestID() string { return string(c.idText[:]) }

// set gives a header of the answer its one value. The key must be canonical.
func (c *call) set(key, value string) {
	if int(c.used) == len(c.values) {
		c.w.Header()[key] = []string{value}
		return
	}
	c.values[c.used] = value
	c.w.Header()[key] = c.values[c.used : c.used+1 : c.used+1]
	c.used++
}

// header is the request's one value of a header; more than one is invalid, as two parties might each believe another.
func (c *call) header(key string) (value string, there bool, err error) {
	values := c.r.Header[key]
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", true, session.ErrInvalidRequest.With("the header %s was sent %d times, it may be sent once", key, len(values))
}

// head writes the status and the headers that every answer has.
func (c *call) head(status int) {
	h := c.w.Header()
	h[headerCacheControl] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = noFrames
	h["Cross-Origin-Resource-Policy"] = ownOrigin
	if c.r.TLS != nil {
		h["Strict-Transport-Security"] = httpsOnly
	}
	h[headerNode] = c.s.nodeHeader
	if _, there := h[headerIndex]; !there {
		c.set(headerIndex, c.answerIndex().String())
	}
	if _, there := h[headerRequestID]; !there {
		c.set(headerRequestID, c.requestID())
	}
	if c.s.draining.Load() || len(c.r.TransferEncoding) > 0 {
		// After a chunked request the connection ends: RFC 9112, section 6.1 asks for that where a Content-Length may have
		// stood beside it, and net/http does not tell.
		h[headerConnection] = closeConn
	}
	c.status = status
	c.w.WriteHeader(status)
}

func (c *call) answerIndex() session.Index {
	if c.index.IsZero() {
		return c.s.sessions.Index()
	}
	return c.index
}

// answer sends a JSON body that the caller may reuse afterwards.
func (c *call) answer(status int, body []byte) error {
	h := c.w.Header()
	if _, there := h[headerContentType]; !there {
		h[headerContentType] = jsonContent
	}
	return c.send(status, body)
}

func (c *call) send(status int, body []byte) error {
	if len(body) > netHTTPSetsLength {
		c.set(headerContentLen, decimal(len(body)))
	}
	c.head(status)
	c.size = len(body)
	// An error here means that the client has gone; nobody is left to be told.
	_, _ = c.w.Write(body)
	return nil
}

// noContent answers 204.
func (c *call) noContent() error {
	c.head(http.StatusNoContent)
	return nil
}

// Header, WriteHeader and Write make a call the http.ResponseWriter of handlers that are not ours.
func (c *call) Header() http.Header { return c.w.Header() }

func (c *call) WriteHeader(status int) {
	if status >= 200 && c.status == 0 {
		c.head(status)
	}
}

func (c *call) Write(body []byte) (int, error) {
	if c.status == 0 {
		c.head(http.StatusOK)
	}
	n, err := c.w.Write(body)
	c.size += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.w }
