package api

import (
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// consistency reads what the request demands of the answer's freshness: Holdfast-Index by header or cookie, and
// Holdfast-Consistency or ?consistency=. Writes read it too, so that a malformed one is never silently ignored.
func (c *call) consistency(who *caller) (session.Consistency, error) {
	at := session.Consistency{Doubt: c.doubt(who)}
	text, there, err := c.header(headerIndex)
	if err != nil {
		return at, err
	}
	if there {
		if at.AtLeast, err = session.ParseIndex(text); err != nil {
			return at, err
		}
	}
	// A backend's cookie jar mixes its users: cookies beside a key say nothing.
	if who.credential != credentialKey && len(c.r.Header[headerCookie]) > 0 {
		if err := c.cookieIndex(&at, there); err != nil {
			return at, err
		}
	}
	level, there, err := c.header(headerConsistency)
	if err != nil {
		return at, err
	}
	inQuery, asked, err := c.query("consistency")
	if err != nil {
		return at, err
	}
	if there && asked && inQuery != level {
		return at, session.ErrInvalidRequest.With("the header Holdfast-Consistency and ?consistency= differ")
	}
	if asked {
		level = inQuery
	}
	switch {
	case !there && !asked, level == "local":
	case level == "strong":
		at.Strong = true
	default:
		return at, session.ErrInvalidRequest.With("the consistency must be local or strong")
	}
	return at, nil
}

// cookieIndex adds the index that a browser brings. The later of the two counts, as both are of its own past. A browser
// cannot repair a broken cookie, so the refusal also clears it.
func (c *call) cookieIndex(at *session.Consistency, hasHeader bool) error {
	text, there, err := c.cookieNamed(c.s.cookies.index)
	if err == nil && !there {
		return nil
	}
	var index session.Index
	if err == nil {
		index, err = session.ParseIndex(text)
	}
	if err != nil {
		c.clearIndex()
		return err
	}
	if !hasHeader || index.Cluster == at.AtLeast.Cluster && index.Index > at.AtLeast.Index {
		at.AtLeast = index
	}
	return nil
}

// query is the one value of a query parameter. Parameters that a handler does not ask for are ignored; one that is
// there twice, or cannot be decoded, is invalid.
func (c *call) query(name string) (value string, there bool, err error) {
	if c.r.URL.RawQuery == "" {
		return "", false, nil
	}
	if !c.queryRead {
		values, err := parseQuery(c.r.URL.RawQuery)
		if err != nil {
			return "", false, session.ErrInvalidRequest.With("the query of the address cannot be decoded")
		}
		c.queryValues, c.queryRead = values, true
	}
	values := c.queryValues[name]
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", true, session.ErrInvalidRequest.With("the parameter %s is there %d times, it may be there once", name, len(values))
	case !validText(values[0]):
		return "", true, session.ErrInvalidRequest.With("the parameter %s is not valid UTF-8", name)
	}
	return values[0], true, nil
}

// touch reads Holdfast-Touch: whether this read counts as activity.
func (c *call) touch() (bool, error) {
	text, there, err := c.header(headerTouch)
	switch {
	case err != nil:
		return false, err
	case !there, strings.EqualFold(text, "yes"):
		return true, nil
	case strings.EqualFold(text, "no"):
		return false, nil
	}
	return false, session.ErrInvalidRequest.With("the header Holdfast-Touch must be yes or no")
}
