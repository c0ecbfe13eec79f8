package session

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Every limit of a session. Sizes are in bytes.
const (
	MaxDataBytes      = 64 << 10
	MaxDepth          = 64 // nesting of data, its own braces counted
	MaxUserIDBytes    = 256
	MaxTenantIDBytes  = 256
	MaxIssuerBytes    = 512
	MaxSubjectBytes   = 512
	MaxSIDBytes       = 512
	MaxMethodBytes    = 64
	MaxLabelBytes     = 128
	MaxUserAgentBytes = 512 // longer ones are cut
	MaxIPBytes        = 64
	MaxCarryKeys      = 64
	DefaultListLimit  = 50
	MaxListLimit      = 200
	MaxIntrospect     = 100 // tokens in one call
	DefaultEventLimit = 100
	MaxEventLimit     = 1000
)

// Hard bounds of the timeouts, whatever the operator sets. 400 days is the
// longest life that browsers give a cookie (RFC 6265bis, 5.5).
const (
	MinIdle     = time.Second
	MaxIdle     = 90 * 24 * time.Hour
	MaxAbsolute = 400 * 24 * time.Hour
)

// ValidUserID refuses what cannot be a user's id. Empty is an anonymous session.
func ValidUserID(s string) error { return validName("user_id", s, MaxUserIDBytes) }

// ValidTenantID refuses what cannot be a tenant's id.
func ValidTenantID(s string) error { return validName("tenant_id", s, MaxTenantIDBytes) }

// ValidLabel refuses what cannot be a device's label.
func ValidLabel(s string) error { return validName("label", s, MaxLabelBytes) }

// ValidAuth refuses what cannot be a record of how somebody logged in.
func ValidAuth(a Auth) error {
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"auth.issuer", a.Issuer, MaxIssuerBytes},
		{"auth.subject", a.Subject, MaxSubjectBytes},
		{"auth.sid", a.SID, MaxSIDBytes},
		{"auth.method", a.Method, MaxMethodBytes},
	} {
		if err := validName(f.name, f.value, f.limit); err != nil {
			return err
		}
	}
	return nil
}

// validName also keeps control characters out: a zero byte ends a name inside
// an index key.
func validName(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return ErrInvalidRequest.With("%s is %d bytes long; the limit is %d", field, len(s), limit)
	case !utf8.ValidString(s):
		return ErrInvalidRequest.With("%s is not valid UTF-8", field)
	case strings.ContainsFunc(s, unicode.IsControl):
		return ErrInvalidRequest.With("%s holds a control character", field)
	}
	return nil
}

// Trimmed returns c within its limits: what a client says of itself is cut,
// never refused.
func (c Client) Trimmed() Client {
	return Client{IP: trimmed(c.IP, MaxIPBytes), UserAgent: trimmed(c.UserAgent, MaxUserAgentBytes)}
}

func trimmed(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
