package api

import (
	"math"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// noVersion is what an ETag asks for that is none of ours, weak ones among them. No session comes this far: the condition
// is checked, and fails, where all conditions are.
const noVersion = math.MaxUint64

// ifMatch reads If-Match (RFC 9110, section 13.1.1) for a write to one session. Version 0 means that there is no
// condition.
func (c *call) ifMatch() (version uint64, err error) {
	text, there, err := c.header(headerIfMatch)
	if err != nil || !there {
		return 0, err
	}
	tags, any, ok := parseTags(text)
	switch {
	case !ok:
		return 0, session.ErrInvalidRequest.With("the header If-Match must be an ETag such as \"3\" with its quotes, or *")
	case any:
		return 0, nil
	case len(tags) > 1:
		return 0, session.ErrInvalidRequest.With("the header If-Match may name one ETag only")
	}
	if version, ok = tagVersion(tags[0]); !ok {
		version = noVersion
	}
	return version, nil
}

// noIfMatch refuses a condition on a write to several sessions, each of which has its own version: to ignore it would
// overwrite what the caller meant to protect.
func (c *call) noIfMatch() error {
	if c.r.Header[headerIfMatch] == nil {
		return nil
	}
	return session.ErrInvalidRequest.With("the header If-Match is for writes to one session")
}

// ifNoneMatch says whether If-None-Match names this version, by the weak comparison that RFC 9110 asks for.
func (c *call) ifNoneMatch(version uint64) (bool, error) {
	lines := c.r.Header[headerIfNoneMatch]
	if len(lines) == 0 {
		return false, nil
	}
	tags, any, ok := parseTags(strings.Join(lines, ","))
	if !ok {
		return false, session.ErrInvalidRequest.With("the header If-None-Match must list ETags such as \"3\" with their quotes, or be *")
	}
	if any {
		return true, nil
	}
	for _, tag := range tags {
		if named, ok := tagVersion(strings.TrimPrefix(tag, "W/")); ok && named == version {
			return true, nil
		}
	}
	return false, nil
}

// tagVersion is the version of a strong ETag of ours.
func tagVersion(tag string) (uint64, bool) {
	text := strings.Trim(tag, `"`)
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil || version == 0 || tag != `"`+strconv.FormatUint(version, 10)+`"` {
		return 0, false
	}
	return version, true
}

// parseTags splits a list of entity tags, each kept as it is written.
func parseTags(text string) (tags []string, any, ok bool) {
	text = strings.Trim(text, " \t")
	if text == "*" {
		return nil, true, true
	}
	for {
		text = strings.TrimLeft(text, " \t,")
		if text == "" {
			return tags, false, len(tags) > 0
		}
		start := 0
		if strings.HasPrefix(text, "W/") {
			start = 2
		}
		if start >= len(text) || text[start] != '"' {
			return nil, false, false
		}
		end := strings.IndexByte(text[start+1:], '"')
		if end < 0 {
			return nil, false, false
		}
		end += start + 2
		tags = append(tags, text[:end])
		text = strings.TrimLeft(text[end:], " \t")
		if text != "" && text[0] != ',' {
			return nil, false, false
		}
	}
}
