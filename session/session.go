package session

import (
	"bytes"
	"cmp"
	"time"
)

// Session is one login, or one anonymous visit, as every node holds it.
type Session struct {
	ID       ID
	UserID   string // empty: anonymous, no per-user rule touches it
	TenantID string
	Data     []byte // a canonical JSON object of at most MaxDataBytes; never changed in place
	Version  uint64 // 1, 2, 3 …: counts changes of Data only

	CreatedAt    Time
	UpdatedAt    Time // of Data
	LastActiveAt Time

	IdleTimeout       time.Duration // whole milliseconds
	AbsoluteExpiresAt Time

	Auth   Auth
	Device Device

	SecretHash  SecretHash
	SecretSetAt Time // when SecretHash was last drawn
	Rotation    Rotation

	StrangeAt Time // of the last event that told of a strange client; zero: never
}

// Auth records how the user logged in, in the identity provider's words.
type Auth struct {
	Issuer  string
	Subject string
	SID     string // the provider's session id
	Method  string
	Time    Time // zero: not told
}

// Device records where a session is used, last and first.
type Device struct {
	IP             string
	UserAgent      string
	FirstIP        string
	FirstUserAgent string
	Label          string // the user's own name for it
}

// Client is who asks now. Empty fields are not known.
type Client struct {
	IP        string
	UserAgent string
}

// IdleExpiresAt is when the session ends if it stays idle, never later than
// AbsoluteExpiresAt.
func (s *Session) IdleExpiresAt() Time {
	return min(s.LastActiveAt.Add(s.IdleTimeout), s.AbsoluteExpiresAt)
}

// ExpiresAt is when the session ends: the earlier of idle and absolute.
func (s *Session) ExpiresAt() Time { return s.IdleExpiresAt() }

// LiveAt says whether the session has not ended by now: now < ExpiresAt.
func (s *Session) LiveAt(now Time) bool { return now < s.ExpiresAt() }

// Start is what a new session begins with. Idle and Absolute are durations
// that Policy.Timeouts has passed.
type Start struct {
	ID       ID
	Hash     SecretHash
	UserID   string
	TenantID string
	Data     []byte // any JSON object; empty: {}
	Idle     time.Duration
	Absolute time.Duration
	Auth     Auth
	Client   Client
	Label    string
}

// New begins a session at the given time. It refuses what breaks a limit with
// ErrInvalidRequest (data that is too large: ErrPayloadTooLarge); of what the
// client says of itself it keeps what fits.
func New(c Start, at Time) (Session, error) {
	if err := c.valid(); err != nil {
		return Session{}, err
	}
	data := []byte("{}")
	if len(c.Data) > 0 {
		var err error
		if data, err = CanonicalObject(c.Data); err != nil {
			return Session{}, err
		}
	}
	client := c.Client.Trimmed()
	return Session{
		ID: c.ID, UserID: c.UserID, TenantID: c.TenantID, Data: data, Version: 1,
		CreatedAt: at, UpdatedAt: at, LastActiveAt: at,
		IdleTimeout: c.Idle.Truncate(time.Millisecond), AbsoluteExpiresAt: at.Add(c.Absolute),
		Auth: c.Auth,
		Device: Device{
			IP: client.IP, UserAgent: client.UserAgent,
			FirstIP: client.IP, FirstUserAgent: client.UserAgent, Label: c.Label,
		},
		SecretHash: c.Hash, SecretSetAt: at,
	}, nil
}

func (c Start) valid() error {
	if c.ID.IsZero() {
		return ErrInvalidRequest.With("a session needs an id")
	}
	if c.Idle < MinIdle || c.Idle > min(c.Absolute, MaxIdle) || c.Absolute > MaxAbsolute {
		return ErrInvalidRequest.With("an idle timeout of %v and an absolute one of %v are out of bounds", c.Idle, c.Absolute)
	}
	// One fault is enough: api has checked the same before, and names it there.
	return cmp.Or(ValidUserID(c.UserID), ValidTenantID(c.TenantID), ValidLabel(c.Label), ValidAuth(c.Auth))
}

// Patched returns s with the merge patch applied, and whether Data changed:
// only then does Version count on. An error, one of MergePatch's, leaves s as
// it was. A patch is no activity: it does not move the expiry.
func (s Session) Patched(patch []byte, at Time) (Session, bool, error) {
	data, err := patched(s.Data, patch)
	if err != nil {
		return s, false, err
	}
	if bytes.Equal(data, s.Data) {
		return s, false, nil
	}
	s.Data, s.UpdatedAt = data, at
	s.Version++
	return s, true, nil
}

// Touched returns s active at the given time, by c; what c leaves empty stays.
// Activity never moves back, and never brings a session back: one that had
// ended by then is returned as it is. That active is not in the future is the
// caller's to see to.
func (s Session) Touched(active Time, c Client) Session {
	if active < s.LastActiveAt || !s.LiveAt(active) {
		return s
	}
	s.LastActiveAt = active
	c = c.Trimmed()
	if c.IP != "" {
		s.Device.IP = c.IP
	}
	if c.UserAgent != "" {
		s.Device.UserAgent = c.UserAgent
	}
	return s
}

// Refreshed returns s with its idle expiry counted from at anew, on the terms
// of Touched. Of the client it knows nothing: a touch tells of that.
func (s Session) Refreshed(at Time) Session { return s.Touched(at, Client{}) }

// Labelled returns s with the user's own name for the device; ErrInvalidRequest
// if it breaks a limit.
func (s Session) Labelled(label string) (Session, error) {
	if err := ValidLabel(label); err != nil {
		return s, err
	}
	s.Device.Label = label
	return s, nil
}
