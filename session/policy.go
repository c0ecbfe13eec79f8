package session

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Policy is what the operator decides about sessions.
type Policy struct {
	IdleTimeout     time.Duration // default, and most that a login may ask for
	AbsoluteTimeout time.Duration // default, and most that a login may ask for
	TouchInterval   time.Duration // activity is recorded once in this time
	ProtectedKeys   []string      // top-level data keys that only a service may set
	MaxPerUser      int           // 0: no limit
	RejectOverLimit bool          // at MaxPerUser: refuse the login, rather than evict the least recently active
	ClientChange    ClientChange  // what happens when a session comes from a strange client
}

// DefaultPolicy is the policy of an operator who sets nothing.
func DefaultPolicy() Policy {
	return Policy{IdleTimeout: time.Hour, AbsoluteTimeout: 24 * time.Hour, TouchInterval: time.Minute, ClientChange: ClientChangeLog}
}

// Validate names every fault of p at once.
func (p Policy) Validate() error {
	var faults []error
	if p.TouchInterval <= 0 {
		faults = append(faults, errors.New("touch-interval must be positive"))
	}
	if p.IdleTimeout < MinIdle || p.IdleTimeout > MaxIdle {
		faults = append(faults, fmt.Errorf("idle-timeout must lie between %v and %v", MinIdle, MaxIdle))
	}
	if p.IdleTimeout < 2*p.TouchInterval {
		faults = append(faults, fmt.Errorf("idle-timeout must be at least twice touch-interval (%v)", p.TouchInterval))
	}
	if p.AbsoluteTimeout < p.IdleTimeout || p.AbsoluteTimeout > MaxAbsolute {
		faults = append(faults, fmt.Errorf("absolute-timeout must lie between idle-timeout and %v", MaxAbsolute))
	}
	if p.MaxPerUser < 0 {
		faults = append(faults, errors.New("max-sessions-per-user must not be negative"))
	}
	if p.ClientChange > ClientChangeRevoke {
		faults = append(faults, fmt.Errorf("client-change must be one of %v", clientChangeNames))
	}
	for _, key := range p.ProtectedKeys {
		if key == "" || !utf8.ValidString(key) {
			faults = append(faults, fmt.Errorf("protected-keys holds %q, which protects nothing", key))
		}
	}
	return errors.Join(faults...)
}

// Timeouts returns the durations that c asks for, or the defaults. A service
// may go up to MaxIdle and MaxAbsolute; anybody else may only shorten the
// operator's. Where the absolute timeout is shorter than an idle timeout that
// was not asked for, the idle one is cut to it; an idle timeout that was asked
// for is never changed: beyond the absolute one, below two touch intervals or
// below MinIdle it is refused with ErrInvalidRequest. Both are whole
// milliseconds.
func (p Policy) Timeouts(c Create) (idle, absolute time.Duration, err error) {
	maxIdle, maxAbsolute := p.IdleTimeout, p.AbsoluteTimeout
	if c.Actor.Service {
		maxIdle, maxAbsolute = MaxIdle, MaxAbsolute
	}
	absolute = p.AbsoluteTimeout
	if c.AbsoluteTimeout != 0 {
		absolute = c.AbsoluteTimeout
	}
	idle = min(p.IdleTimeout, absolute)
	if c.IdleTimeout != 0 {
		idle = c.IdleTimeout
	}
	idle, absolute = idle.Truncate(time.Millisecond), absolute.Truncate(time.Millisecond)
	switch {
	case absolute < MinIdle || absolute > maxAbsolute:
		return 0, 0, ErrInvalidRequest.With("absolute_timeout must lie between %v and %v", MinIdle, maxAbsolute)
	case idle > maxIdle:
		return 0, 0, ErrInvalidRequest.With("idle_timeout must be at most %v", maxIdle)
	case c.IdleTimeout != 0 && idle < 2*p.TouchInterval:
		return 0, 0, ErrInvalidRequest.With("idle_timeout must be at least %v: activity is recorded every %v", 2*p.TouchInterval, p.TouchInterval)
	case idle < MinIdle:
		return 0, 0, ErrInvalidRequest.With("idle_timeout must be at least %v", MinIdle)
	case idle > absolute:
		return 0, 0, ErrInvalidRequest.With("idle_timeout must not be longer than absolute_timeout")
	}
	return idle, absolute, nil
}

// CheckPatch refuses, with ErrProtectedKey, a patch that sets or removes a
// protected key without a service's authority. It also refuses a patch that
// is no JSON object.
func (p Policy) CheckPatch(a Actor, patch []byte) error {
	keys, err := PatchKeys(patch)
	if err != nil || a.Service {
		return err
	}
	return p.checkKeys(keys)
}

// CheckCreate refuses protected keys in data without a service's authority,
// and in carry always: what a browser gathered is never authority.
func (p Policy) CheckCreate(c Create) error {
	if err := p.checkKeys(c.Carry); err != nil {
		return err
	}
	if len(c.Carry) > MaxCarryKeys {
		return ErrInvalidRequest.With("carry names %d keys; the limit is %d", len(c.Carry), MaxCarryKeys)
	}
	if len(c.Data) == 0 {
		return nil
	}
	return p.CheckPatch(c.Actor, c.Data)
}

func (p Policy) checkKeys(keys []string) error {
	for _, k := range keys {
		if slices.Contains(p.ProtectedKeys, k) {
			return ErrProtectedKey.With("the data key %q may be changed with a service key only", k)
		}
	}
	return nil
}
