package api

import (
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// ifMatch reads If-Match (RFC 9110, section 13.1.1) for a write to one session. Version 0 means that there is no
// condition; hopeless means that it can match no version of a session that there is, weak tags among them.
func (c *call) ifMatch() (version uint64, hopeless bool, err error) {
	text, there, err := c.header(headerIfMatch)
	if err != nil || !there {
		return 0, false, err
	}
	tags, any, ok := parseTags(text)
	switch {
	case !ok:
		return 0, false, session.ErrInvalidRequest.With("the header If-Match must be an ETag such as \"3\" with its quotes, or *")
	case any:
		return 0, false, nil
	case len(tags) > 1:
		return 0, false, session.ErrInvalidRequest.With("the header If-Match may name one ETag only")
	}
	version, ok = tagVersion(tags[0])
	return version, !ok, nil
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
