package fsm

import (
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// A client's Idempotency-Key outlives the connection and the node: its outcome
// is kept for a day, and a create may be repeated for a minute.
const (
	idempotencyKept = 24 * time.Hour
	// recreateWindow is how long a repeated create mints a new secret for the
	// session that the first one made.
	recreateWindow = time.Minute
)

// remembered is what became of the first command of one Idempotency-Key. Only
// commands that took effect are kept: one that was refused may be tried again.
type remembered struct {
	body    [32]byte
	command commandType
	at      session.Time
	outcome outcome
	// hash is the secret of a created session as the last repetition left it. A
	// session that has another one was rotated since.
	hash session.SecretHash
}

const (
	remBody    = 1
	remCommand = 2
	remAt      = 3
	remID      = 4
	remVersion = 5
	remIndex   = 6
	remCount   = 7
	remHash    = 8
)

func encodeRemembered(m *remembered) []byte {
	w := writeFields(make([]byte, 0, 128))
	w.bytes(remBody, m.body[:])
	w.uint(remCommand, uint64(m.command))
	w.int(remAt, int64(m.at))
	if !m.outcome.id.IsZero() {
		w.bytes(remID, m.outcome.id[:])
	}
	w.uint(remVersion, m.outcome.version)
	w.uint(remIndex, m.outcome.index)
	w.uint(remCount, m.outcome.count)
	if m.command == cmdCreate {
		w.bytes(remHash, m.hash[:])
	}
	return w.end()
}

func decodeRemembered(raw []byte) (m remembered, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case remBody:
			r.fixed(m.body[:])
		case remCommand:
			m.command = commandType(min(r.uint(), 255))
		case remAt:
			m.at = session.Time(r.int())
		case remID:
			r.fixed(m.outcome.id[:])
		case remVersion:
			m.outcome.version = r.uint()
		case remIndex:
			m.outcome.index = r.uint()
		case remCount:
			m.outcome.count = r.uint()
		case remHash:
			r.fixed(m.hash[:])
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return remembered{}, fmt.Errorf("idempotency key: %w", err)
	}
	return m, nil
}

// once runs a command unless its Idempotency-Key has been used.
func (e *entry) once(env *envelope, run func(*entry, *envelope) reply) reply {
	if env.Idem == nil || env.Type == cmdLogout { // a logout token is known by itself
		return run(e, env)
	}
	key := idempotencyKey(env.Idem.Scope)
	raw, used := e.get(key)
	var first remembered
	if used {
		var err error
		if first, err = decodeRemembered(raw); err != nil {
			panic(fmt.Sprintf("fsm: %v", err))
		}
		if e.now < first.at.Add(idempotencyKept) {
			return e.again(env, key, raw, &first)
		}
		// Due, and the sweep has not come to it.
		e.forget(env.Idem.Scope, raw, &first)
	}
	p := run(e, env)
	if p.code != codeOK {
		return p
	}
	p.index = e.index
	first = remembered{body: env.Idem.Body, command: env.Type, at: e.now, outcome: p.outcome}
	if env.Type == cmdCreate {
		first.hash = bodyOf(e, env, decodeCreate).Hash
	}
	e.put(key, encodeRemembered(&first))
	e.insert(forgetKey(first.at.Add(idempotencyKept), env.Idem.Scope), present)
	e.meta.idempotencies++
	return p
}

// again answers a repetition.
func (e *entry) again(env *envelope, key, raw []byte, first *remembered) reply {
	switch {
	case first.body != env.Idem.Body || first.command != env.Type:
		return refuse(codeIdempotencyConflict)
	case env.Type == cmdCreate:
		return e.recreate(env, key, raw, first)
	}
	return reply{outcome: first.outcome}
}

// recreate gives the session that the first create made the secret of this one:
// nobody has stored the first. A create whose session is no longer as it was
// left cannot be repeated.
func (e *entry) recreate(env *envelope, key, raw []byte, first *remembered) reply {
	body := bodyOf(e, env, decodeCreate)
	// The first one's login may be from before a log out everywhere that has kept
	// this very session.
	if c := e.mayCreate(env.Actor, &body); c != codeOK {
		return refuse(c)
	}
	rec, ok := e.session(first.outcome.id)
	switch {
	case e.now.Sub(first.at) > recreateWindow,
		!ok || !rec.LiveAt(e.now) || !rec.SecretHash.Equal(first.hash):
		return refuse(codeIdempotencyConflict)
	}
	next := rec.record
	next.SecretHash, next.SecretSetAt = body.Hash, e.now
	written := e.save(&rec, &next)
	first.hash = body.Hash
	e.replace(key, raw, encodeRemembered(first))
	p := reply{outcome: first.outcome, record: written}
	p.index, p.version = e.index, next.Version
	return p
}

// forget drops one key's outcome.
func (e *entry) forget(scope [scopeLen]byte, raw []byte, m *remembered) {
	e.remove(idempotencyKey(scope), raw)
	e.remove(forgetKey(m.at.Add(idempotencyKept), scope), present)
	e.meta.idempotencies--
}
