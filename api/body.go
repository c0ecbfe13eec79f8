package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/session"
)

func parseQuery(raw string) (url.Values, error) { return url.ParseQuery(raw) }

func validText(text string) bool { return utf8.ValidString(text) }

// readBody reads the whole body, nil if there is none, and demands a JSON media type of one that is there. Merge also
// allows that of a merge patch.
func (c *call) readBody(merge bool) ([]byte, error) {
	if c.r.ContentLength == 0 {
		return nil, nil
	}
	if err := c.checkMediaType(merge); err != nil {
		return nil, err
	}
	return c.readAll()
}

// readAll reads the whole body, whatever it is.
func (c *call) readAll() ([]byte, error) {
	if c.r.ContentLength > MaxBodyBytes {
		return nil, tooLarge()
	}
	// No buffer serves a second request: a command may outlive its own, and its data is a part of the body. Where the
	// length is known, net/http reads no more than that; the byte over it is room for the read that finds the end.
	reader, size := c.r.Body, c.r.ContentLength
	if size < 0 {
		reader, size = http.MaxBytesReader(c.w, reader, MaxBodyBytes), 512
	}
	body := make([]byte, 0, size+1)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF && c.ctx.Err() == nil {
			return body, nil
		}
		if err != nil {
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				return nil, tooLarge()
			}
			return nil, session.ErrInvalidRequest.With("the body ended early or did not arrive in time")
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func tooLarge() error {
	return session.ErrPayloadTooLarge.With("the body may have at most %d bytes", MaxBodyBytes)
}

func (c *call) checkMediaType(merge bool) error {
	if c.r.Header[headerContentCode] != nil {
		return session.ErrUnsupportedMediaType.With("the body must be sent as it is, without a Content-Encoding")
	}
	text, _, err := c.header(headerContentType)
	if err != nil {
		return err
	}
	if text == "application/json" {
		return nil
	}
	media, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return mediaTypeRefused(merge)
	}
	if media != "application/json" && !(merge && media == "application/merge-patch+json") {
		return mediaTypeRefused(merge)
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return session.ErrUnsupportedMediaType.With("the only parameter of the media type may be charset=utf-8")
		}
	}
	return nil
}

func mediaTypeRefused(merge bool) error {
	if merge {
		return session.ErrUnsupportedMediaType.With("the Content-Type must be application/json or application/merge-patch+json")
	}
	return session.ErrUnsupportedMediaType.With("the Content-Type must be application/json")
}

// members calls each with the members of a JSON object; an empty body is an object without any. What several parsers
// would read differently is refused: duplicate names, invalid UTF-8, halves of surrogate pairs, anything after the end.
// A value is a part of body, as it stands there.
func members(body []byte, each func(name string, value json.RawMessage) error) error {
	if len(body) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return session.ErrInvalidRequest.With("the body is not valid UTF-8")
	}
	if loneSurrogate(body) {
		return session.ErrInvalidRequest.With("the body escapes half of a surrogate pair")
	}
	scan := jsonScan{text: body}
	if scan.next() != '{' {
		return session.ErrInvalidRequest.With("the body must be one JSON object")
	}
	scan.at++
	var seen names
	for c := scan.next(); c != '}'; c = scan.next() {
		name, err := scan.member(c, &seen)
		if err != nil {
			return err
		}
		colon := scan.at
		scan.space()
		start := scan.at
		if !scan.value() {
			return notJSON(colon)
		}
		if err := each(name, body[start:scan.at:scan.at]); err != nil {
			return err
		}
	}
	scan.at++
	if scan.space(); scan.at < len(body) {
		return session.ErrInvalidRequest.With("something follows the JSON object")
	}
	return nil
}

// member moves over the comma that the members after the first need, a name and its colon; c is what stands there.
func (s *jsonScan) member(c byte, seen *names) (string, error) {
	if seen.count > 0 {
		if c != ',' {
			return "", notJSON(s.at)
		}
		s.at++
		c = s.next()
	}
	start := s.at
	if c != '"' || !s.quoted() {
		return "", notJSON(start)
	}
	name, err := unquoted(s.text[start:s.at])
	if err != nil {
		return "", notJSON(start)
	}
	if !seen.add(name) {
		return "", session.ErrInvalidRequest.With("the member %q is there twice", shortened(name))
	}
	if s.next() != ':' {
		return "", notJSON(s.at)
	}
	s.at++
	return name, nil
}

func notJSON(at int) error {
	return session.ErrInvalidRequest.With("the body is not valid JSON near byte %d", at)
}

// names is a set. The bodies that we know have few members; the map keeps one with thousands from costing their square.
type names struct {
	few   [8]string
	many  map[string]bool
	count int
}

// add reports whether name is new.
func (n *names) add(name string) bool {
	if slices.Contains(n.few[:min(n.count, len(n.few))], name) || n.many[name] {
		return false
	}
	if n.count < len(n.few) {
		n.few[n.count] = name
	} else {
		if n.many == nil {
			n.many = make(map[string]bool)
		}
		n.many[name] = true
	}
	n.count++
	return true
}

// loneSurrogate finds \ud800 to \udfff that are not a pair. encoding/json would make U+FFFD of each, and two different
// texts would become one.
func loneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		escape := bytes.IndexByte(body[i:], '\\')
		if escape < 0 {
			return false
		}
		i += escape
		unit, ok := escapedUnit(body[i:])
		switch {
		case !ok:
			i++ // some other escape: skip what it escapes
		case unit < 0xd800 || unit > 0xdfff:
			i += 5
		case unit > 0xdbff:
			return true
		default:
			low, ok := escapedUnit(body[i+6:])
			if !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		}
	}
	return false
}

func escapedUnit(text []byte) (unit uint64, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return unit, err == nil
}

// unquoted is the text of a JSON value that must be a string, null being the empty one. Most have no escapes and are
// taken as they stand: that they are UTF-8 without control characters was checked when the body was scanned.
func unquoted(value json.RawMessage) (string, error) {
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	var written string
	err := json.Unmarshal(value, &written)
	return written, err
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// text decodes a member that must be a string. JSON's null is as if the member were absent.
func text(name string, value json.RawMessage, into *string) error {
	written, err := unquoted(value)
	if err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a string", name)
	}
	if !isNull(value) {
		*into = written
	}
	return nil
}

func boolean(name string, value json.RawMessage, into *bool) error {
	switch string(value) {
	case "true":
		*into = true
	case "false":
		*into = false
	case "null":
	default:
		return session.ErrInvalidRequest.With("the member %q must be true or false", name)
	}
	return nil
}

// duration decodes a member such as "24h" or "30m".
func duration(name string, value json.RawMessage, into *time.Duration) error {
	written, err := unquoted(value)
	if err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a duration such as \"24h\" or \"30m\"", name)
	}
	if isNull(value) {
		return nil
	}
	d, err := time.ParseDuration(written)
	if err != nil || d <= 0 {
		return session.ErrInvalidRequest.With("the member %q must be a duration greater than zero, such as \"24h\" or \"30m\"", name)
	}
	*into = d
	return nil
}

func unknownMember(name string) error {
	return session.ErrInvalidRequest.With("the member %q is not known here", shortened(name))
}

// maxQuotedBytes keeps an answer from growing with the rubbish that it quotes.
const maxQuotedBytes = 64

func shortened(text string) string {
	if len(text) <= maxQuotedBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxQuotedBytes], "") + "…"
}
