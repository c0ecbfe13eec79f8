package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
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
	if c.r.ContentLength > MaxBodyBytes {
		return nil, tooLarge()
	}
	body := make([]byte, 0, max(c.r.ContentLength, 512)+1)
	reader := http.MaxBytesReader(c.w, c.r.Body, MaxBodyBytes)
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
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return session.ErrInvalidRequest.With("the body must be one JSON object")
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return notJSON(decoder)
		}
		if seen[name] {
			return session.ErrInvalidRequest.With("the member %q is there twice", shortened(name))
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return notJSON(decoder)
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return notJSON(decoder)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return session.ErrInvalidRequest.With("something follows the JSON object")
	}
	return nil
}

func notJSON(decoder *json.Decoder) error {
	return session.ErrInvalidRequest.With("the body is not valid JSON near byte %d", decoder.InputOffset())
}

// loneSurrogate finds \ud800 to \udfff that are not a pair. encoding/json would make U+FFFD of each, and two different
// texts would become one.
func loneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
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

// text decodes a member that must be a string. JSON's null is as if the member were absent.
func text(name string, value json.RawMessage, into *string) error {
	if err := json.Unmarshal(value, into); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a string", name)
	}
	return nil
}

func boolean(name string, value json.RawMessage, into *bool) error {
	if err := json.Unmarshal(value, into); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be true or false", name)
	}
	return nil
}

// duration decodes a member such as "24h" or "30m".
func duration(name string, value json.RawMessage, into *time.Duration) error {
	var written string
	if err := json.Unmarshal(value, &written); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a duration such as \"24h\" or \"30m\"", name)
	}
	if string(value) == "null" {
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
