package fsm

import (
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// maxSweep bounds one sweep command, whatever it asks for.
const maxSweep = 4096

// sweepMarks are places below which the time-ordered indexes are empty, so that
// a sweep does not pass over the tombstones of the last. They change what is
// read, never what is found: whatever is written later is due later than the
// sweep that made the mark.
type sweepMarks struct {
	expiry, grace, notBefore, forget []byte
}

// sweep ends the sessions whose time has come, and forgets what has been
// remembered for long enough, all in bounded pieces. It says whether more is due.
func (e *entry) sweep(env *envelope) reply {
	body := bodyOf(e, env, decodeSweep)
	limit := int(min(max(body.Limit, 1), maxSweep))
	var p reply
	expired, more := e.expire(limit)
	p.count = uint64(expired)
	for _, other := range []bool{
		e.settle(limit),
		e.dropNotBefores(limit),
		e.dropIdempotencies(limit, body.IdempotencyKeys),
		e.dropEvents(limit, time.Duration(body.EventMillis)*time.Millisecond, body.EventCount),
	} {
		more = more || other
	}
	e.forgetIncarnations()
	p.more = more
	return p
}

// dueSince scans a time-ordered index for what is due, from *mark on, and moves
// the mark behind what it has found.
func (e *entry) dueSince(prefix byte, mark *[]byte, limit int) []pair {
	from := *mark
	if from == nil {
		from = []byte{prefix}
	}
	pairs := e.scan(from, due(prefix, e.now), limit)
	if len(pairs) > 0 {
		*mark = append(pairs[len(pairs)-1].key[:len(pairs[len(pairs)-1].key):len(pairs[len(pairs)-1].key)], 0)
	}
	return pairs
}

// expire ends what has expired. A session that was extended since it was
// queued is queued anew.
func (e *entry) expire(limit int) (expired int, more bool) {
	pairs := e.dueSince(prefixExpiry, &e.m.swept.expiry, limit)
	for _, p := range pairs {
		h, ok := e.session(tailID(p.key))
		if !ok || h.queuedAt != keyTime(p.key) {
			panic(fmt.Sprintf("fsm: the expiry index and its session differ: %x", p.key))
		}
		if !h.LiveAt(e.now) {
			e.end(&h, session.EventExpired, "")
			expired++
			continue
		}
		next := h.record
		next.queuedAt = h.ExpiresAt()
		e.remove(p.key, present)
		e.insert(expiryKey(next.queuedAt, next.ID), present)
		e.save(&h, &next)
	}
	return expired, len(pairs) == limit
}

func (e *entry) dropNotBefores(limit int) (more bool) {
	pairs := e.dueSince(prefixNotBefore, &e.m.swept.notBefore, limit)
	for _, p := range pairs {
		user := string(p.key[1+timeLen:])
		a, raw := e.account(user)
		if a.until != keyTime(p.key) {
			panic(fmt.Sprintf("fsm: the index of not-befores and its account differ: %x", p.key))
		}
		a.notBefore, a.until = 0, 0
		e.saveAccount(user, a, raw)
		e.remove(p.key, present)
	}
	return len(pairs) == limit
}

// dropIdempotencies forgets outcomes whose day is over, and the oldest beyond
// keep.
func (e *entry) dropIdempotencies(limit int, keep uint64) (more bool) {
	pairs := e.dueSince(prefixForget, &e.m.swept.forget, limit)
	if e.meta.idempotencies > keep+uint64(len(pairs)) {
		excess := e.meta.idempotencies - keep
		pairs = e.scan([]byte{prefixForget}, after([]byte{prefixForget}), int(min(excess, uint64(limit))))
	}
	for _, p := range pairs {
		scope := [scopeLen]byte(p.key[1+timeLen:])
		raw, ok := e.get(idempotencyKey(scope))
		if !ok {
			panic(fmt.Sprintf("fsm: an idempotency key is queued and not there: %x", p.key))
		}
		m, err := decodeRemembered(raw)
		if err != nil {
			panic(fmt.Sprintf("fsm: %v", err))
		}
		e.forget(scope, raw, &m)
	}
	return len(pairs) == limit
}

// dropEvents trims the oldest events, by age and by count.
func (e *entry) dropEvents(limit int, age time.Duration, keep uint64) (more bool) {
	if e.meta.events == 0 {
		return false
	}
	pairs := e.scan(eventKey(e.meta.eventFloor), after([]byte{prefixEvent}), limit)
	for _, p := range pairs {
		id := parseEventKey(p.key)
		ev, err := decodeEvent(id, p.value)
		if err != nil {
			panic(fmt.Sprintf("fsm: %v", err))
		}
		if e.meta.events <= keep && e.now < ev.Time.Add(age) {
			e.meta.eventFloor = id
			return false
		}
		e.remove(p.key, p.value)
		e.meta.events--
		e.meta.eventFloor = session.EventID{Index: id.Index, Ordinal: id.Ordinal + 1}
	}
	return len(pairs) == limit
}
