package api

import (
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// indexCookieSeconds is how long a browser shows the index of its last write: by then every fresh node has it.
const indexCookieSeconds = 60

// cookieJar knows the names and attributes of our two cookies.
type cookieJar struct {
	token, index string // names
	attributes   string // after the value and the Max-Age
}

// newCookieJar names the cookies. __Host- makes a browser demand Secure, Path=/ and no Domain, so that no other host of
// the domain can plant one. Development over http has to do without.
func newCookieJar(insecure bool) cookieJar {
	if insecure {
		return cookieJar{token: "holdfast", index: "holdfast-index", attributes: "; Path=/; HttpOnly; SameSite=Lax"}
	}
	return cookieJar{token: "__Host-holdfast", index: "__Host-holdfast-index", attributes: "; Path=/; HttpOnly; Secure; SameSite=Lax"}
}

func (j cookieJar) line(name, value string, maxAge int64) string {
	line := make([]byte, 0, 192)
	line = append(line, name...)
	line = append(line, '=')
	line = append(line, value...)
	line = append(line, "; Max-Age="...)
	line = appendInt(line, maxAge)
	return string(append(line, j.attributes...))
}

// addCookie adds a Set-Cookie line to the answer. The first takes two of the call's values, as a create sets two cookies.
func (c *call) addCookie(line string) {
	h := c.w.Header()
	lines := h[headerSetCookie]
	if lines == nil && int(c.used)+2 <= len(c.values) {
		lines = c.values[c.used : c.used : c.used+2]
		c.used += 2
	}
	h[headerSetCookie] = append(lines, line)
}

// setToken gives a browser its token, for the absolute lifetime of the session.
func (c *call) setToken(token string, lifetime time.Duration) {
	c.addCookie(c.s.cookies.line(c.s.cookies.token, token, wholeSeconds(lifetime)))
}

// setIndex gives a browser the index of its write, so that its next read through any node sees it.
func (c *call) setIndex(at session.Index) {
	if !at.IsZero() {
		c.addCookie(c.s.cookies.line(c.s.cookies.index, at.String(), indexCookieSeconds))
	}
}

func (c *call) clearToken() { c.addCookie(c.s.cookies.line(c.s.cookies.token, "", 0)) }
func (c *call) clearIndex() { c.addCookie(c.s.cookies.line(c.s.cookies.index, "", 0)) }

// cookie finds the value of a cookie, and how many of that name there are. It looks at nothing else: parsing all of a
// browser's cookies costs more than a read.
func cookie(lines []string, name string) (value string, count int) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			pair = strings.Trim(pair, " \t")
			if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
				value = pair[len(name)+1:]
				count++
			}
		}
	}
	return value, count
}

// cookieNamed is cookie for a name that may be there once.
func (c *call) cookieNamed(name string) (value string, there bool, err error) {
	lines := c.r.Header[headerCookie]
	if len(lines) == 0 {
		return "", false, nil
	}
	value, count := cookie(lines, name)
	if count > 1 {
		return "", true, session.ErrInvalidRequest.With("the cookie %s was sent %d times, it may be sent once", name, count)
	}
	return value, count == 1, nil
}
