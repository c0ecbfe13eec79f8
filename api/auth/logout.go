package auth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

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
// algorithms that Verify accepts, and with its two errors.
func (l *Logins) VerifyLogout(ctx context.Context, text string) (Logout, error) {
	issuer, claims, err := l.verified(ctx, text, "logout+jwt", "jwt")
	if err != nil {
		return Logout{}, err
	}
	if err := issuer.checkAudience(claims); err != nil {
		return Logout{}, err
	}
	issued, _, err := l.checkTimes(claims)
	switch {
	case err != nil:
		return Logout{}, err
	case l.cfg.Now().After(issued.Add(maxLogoutAge + l.cfg.Leeway)):
		return Logout{}, invalid("the token is older than %s", maxLogoutAge)
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
	if out.Subject == "" {
		return out, nil
	}
	if out.UserID, err = issuer.userID(out.Subject); err != nil {
		return Logout{}, err
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
