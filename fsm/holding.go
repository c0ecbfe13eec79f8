package fsm

import (
	"fmt"

	"github.com/holdfastdb/holdfast/session"
)

// MaxUserSessions is how many sessions one user may have, whatever the operator
// allows: commands about all of a user's sessions take effect in one entry, so
// their work must have a bound.
const MaxUserSessions = 100_000

// held is a record as it was read, with the bytes that the table holds.
type held struct {
	record
	raw []byte
}

// session reads a session; it may have expired.
func (e *entry) session(id session.ID) (held, bool) {
	raw, ok := e.get(sessionKey(id))
	if !ok {
		return held{}, false
	}
	rec, err := decodeRecord(id, raw)
	if err != nil {
		panic(fmt.Sprintf("fsm: %v", err))
	}
	return held{rec, raw}, true
}

// live reads a session that has not ended by the entry's time.
func (e *entry) live(id session.ID) (held, bool) {
	h, ok := e.session(id)
	if !ok || !h.LiveAt(e.now) {
		return held{}, false
	}
	return h, true
}

// userSessions reads a user's sessions that are live, newest first.
func (e *entry) userSessions(user string) []held {
	prefix := userPrefix(user)
	pairs := e.scan(prefix, after(prefix), MaxUserSessions+1)
	sessions := make([]held, 0, len(pairs))
	for _, p := range pairs {
		h, ok := e.session(tailComplement(p.key))
		if !ok {
			panic(fmt.Sprintf("fsm: the index of a user names a session that is not there: %x", p.key))
		}
		if h.LiveAt(e.now) {
			sessions = append(sessions, h)
		}
	}
	return sessions
}

// save writes a session anew and returns its bytes. Nothing that an index
// holds may have changed but the expiry, which is lazy, and a rotation's grace,
// which regrace sees to.
func (e *entry) save(old *held, next *record) []byte {
	raw := encodeRecord(next)
	e.replace(sessionKey(next.ID), old.raw, raw)
	return raw
}

// add writes a new session with all its indexes and returns its bytes.
func (e *entry) add(rec *record, reason string) []byte {
	rec.queuedAt = rec.ExpiresAt()
	raw := encodeRecord(rec)
	e.insert(sessionKey(rec.ID), raw)
	for key := range indexKeys(rec) {
		e.insert(key, present)
	}
	e.meta.sessions++
	e.meta.created++
	e.count(rec.UserID, +1)
	e.event(session.EventCreated, rec, reason)
	return raw
}

// regrace follows a change of a session's grace in its index.
func (e *entry) regrace(id session.ID, old, next session.Time) {
	if old != 0 {
		e.remove(graceKey(old, id), present)
	}
	if next != 0 {
		e.insert(graceKey(next, id), present)
	}
}

// end removes a session with all its indexes: nothing brings it back.
func (e *entry) end(h *held, why session.EventType, reason string) {
	e.remove(sessionKey(h.ID), h.raw)
	for key := range indexKeys(&h.record) {
		e.remove(key, present)
	}
	e.meta.sessions--
	if why == session.EventExpired {
		e.meta.expired++
	} else {
		e.meta.revoked++
	}
	e.count(h.UserID, -1)
	e.event(why, &h.record, reason)
}

// indexKeys yields the keys of a session beside its own.
func indexKeys(rec *record) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		a := &rec.Auth
		_ = yield(expiryKey(rec.queuedAt, rec.ID)) &&
			(rec.Rotation.GraceUntil == 0 || yield(graceKey(rec.Rotation.GraceUntil, rec.ID))) &&
			(rec.UserID == "" || yield(userKey(rec.UserID, rec.ID))) &&
			(rec.TenantID == "" || yield(tenantKey(rec.TenantID, rec.ID))) &&
			(a.SID == "" || yield(sidKey(a.Issuer, a.SID, rec.ID))) &&
			(a.Subject == "" || yield(subjectKey(a.Issuer, a.Subject, rec.ID)))
	}
}

// recent is the account that was read or written last: a command looks at one
// several times.
type recent struct {
	known bool
	user  string
	account
	raw []byte
}

// account reads what is kept of a user; raw is nil if nothing is.
func (e *entry) account(user string) (a account, raw []byte) {
	if e.recent.known && e.recent.user == user {
		return e.recent.account, e.recent.raw
	}
	raw, ok := e.get(accountKey(user))
	if ok {
		var err error
		if a, err = decodeAccount(raw); err != nil {
			panic(fmt.Sprintf("fsm: %v", err))
		}
	}
	e.recent = recent{known: true, user: user, account: a, raw: raw}
	return a, raw
}

func (e *entry) saveAccount(user string, a account, old []byte) {
	key, raw := accountKey(user), []byte(nil)
	switch {
	case a == account{} && old == nil:
	case a == account{}:
		e.remove(key, old)
	case old == nil:
		raw = encodeAccount(a)
		e.insert(key, raw)
	default:
		raw = encodeAccount(a)
		e.replace(key, old, raw)
	}
	e.recent = recent{known: true, user: user, account: a, raw: raw}
}

// count keeps the number of a user's sessions, and that of users who have any.
// An anonymous session is nobody's.
func (e *entry) count(user string, by int) {
	if user == "" {
		return
	}
	a, raw := e.account(user)
	if by < 0 && a.live == 0 {
		panic("fsm: a session ends of a user who has none")
	}
	if a.live == 0 {
		e.meta.users++
	}
	a.live += uint64(by)
	if a.live == 0 {
		e.meta.users--
	}
	e.saveAccount(user, a, raw)
}

// event appends what happened to a session.
func (e *entry) event(what session.EventType, rec *record, reason string) {
	id := session.EventID{Index: e.index, Ordinal: e.ordinal}
	e.ordinal++
	if e.meta.events == 0 {
		e.meta.eventFloor = id
	}
	e.meta.events++
	e.insert(eventKey(id), encodeEvent(&session.Event{
		Time: e.now, Type: what, SessionID: rec.ID, UserID: rec.UserID, TenantID: rec.TenantID,
		Version: rec.Version, Reason: reason,
	}))
}

// Reasons of revoked and evicted events. They are stored: append only.
const (
	reasonLogout     = "logout"
	reasonRevoked    = "revoked"    // by another session of the user, or by a service
	reasonEverywhere = "everywhere" // log out everywhere
	reasonReplaced   = "replaced"   // by the session that a login made
	reasonLimit      = "session_limit"
	reasonReused     = "token_reused"   // by whoever had a token that was rotated away
	reasonClient     = "client_changed" // because it was used from a strange client
	reasonProvider   = "provider"       // by the identity provider: a back-channel logout
)
