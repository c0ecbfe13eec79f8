package auth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// logoutEvent is the member of events that makes a JWT a logout token.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// maxLogoutAge is how old a logout token may be. What was used is remembered for longer.
	maxLogoutAge = 10 * time.Minute
	maxJTIBytes  = 512
)

// Logout is what a verified logout token says: which login is over, or all of a subject's.
type Logout struct {
	Issuer  string
	Subject string // may be empty if there is a SID
	SID     string // may be empty if there is a Subject
	UserID  string // the issuer's prefix and the subject; empty without one
	// ID is SHA-256 of the issuer and the jti: by it a replay is known.
	ID [32]byte
}

// VerifyLogout checks a logout token as OpenID Connect Back-Channel Logout 1.0, section 2.6 asks for, with the keys and
// algorithms that Verify accepts. All that is wrong with the token is session.ErrLoginInvalid.
func (l *Logins) VerifyLogout(ctx context.Context, text string) (Logout, error) {
	issuer, claims, err := l.verified(ctx, text, "logout+jwt", "jwt")
	if err != nil {
		return Logout{}, err
	}
	if err := issuer.checkAudience(claims); err != nil {
		return Logout{}, err
	}
	if err := l.checkLogoutTimes(claims); err != nil {
		return Logout{}, err
	}
	events, _ := claims["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok {
		return Logout{}, invalid("the claim events must hold the member %s", logoutEvent)
	}
	if _, there := claims["nonce"]; there {
		return Logout{}, invalid("a logout token has no nonce")
	}
	jti, err := textClaim(claims, "jti", maxJTIBytes)
	if err != nil || jti == "" {
		return Logout{}, invalid("the claim jti must be a string of 1 to %d bytes without control characters", maxJTIBytes)
	}
	out := Logout{Issuer: issuer.Issuer.Issuer, ID: logoutID(issuer.Issuer.Issuer, jti)}
	if out.Subject, err = textClaim(claims, "sub", session.MaxSubjectBytes); err != nil {
		return Logout{}, err
	}
	if out.SID, err = textClaim(claims, "sid", session.MaxSIDBytes); err != nil {
		return Logout{}, err
	}
	if out.Subject == "" && out.SID == "" {
		return Logout{}, invalid("a logout token needs the claim sub or sid")
	}
	if out.Subject != "" {
		out.UserID = issuer.UserPrefix + out.Subject
	}
	return out, nil
}

func logoutID(issuer, jti string) [32]byte {
	h := sha256.New()
	for _, text := range []string{"holdfast logout token", issuer, jti} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write([]byte(text))
	}
	return [32]byte(h.Sum(nil))
}

// checkLogoutTimes demands a young iat, and an exp that is not over where there is one.
func (l *Logins) checkLogoutTimes(claims jwt.MapClaims) error {
	issued, hasIssued, err := dateClaim(claims, "iat")
	if err != nil || !hasIssued {
		return invalid("the claim iat is missing or no date")
	}
	expires, hasExpires, err := dateClaim(claims, "exp")
	if err != nil {
		return err
	}
	now := l.cfg.Now()
	switch {
	case hasExpires && !now.Before(expires.Add(l.cfg.Leeway)):
		return invalid("the token has expired")
	case now.Add(l.cfg.Leeway).Before(issued):
		return invalid("the token was issued in the future")
	case now.After(issued.Add(maxLogoutAge + l.cfg.Leeway)):
		return invalid("the token is older than %s", maxLogoutAge)
	}
	return nil
}

// checkAudience demands that the token is meant for us.
func (i *issuerKeys) checkAudience(claims jwt.MapClaims) error {
	audiences, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(i.Audiences, a) }) {
		return invalid("the token is not meant for this audience")
	}
	return nil
}

// hasType says whether a header's typ, if there is one, is among the allowed (RFC 8725, section 3.11): a token that was
// made for one purpose must not serve another.
func hasType(header map[string]any, allowed []string) bool {
	typ, there := header["typ"]
	if !there {
		return true
	}
	name, _ := typ.(string)
	return slices.Contains(allowed, strings.TrimPrefix(strings.ToLower(name), "application/"))
}
