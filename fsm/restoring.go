package fsm

import (
	"github.com/holdfastdb/holdfast/session"
)

// A restore is applied through the log, by three commands: it begins, it comes in
// chunks of an archive's pairs, it ends. In between the cluster serves, and what
// happens then counts: a chunk finds each session as it is.
//
// No dead session comes back (promise 4). In a cluster that has had sessions, one
// that is not alive now stays dead. Only a cluster that has never had any takes
// sessions in, if its operator says so, and even there none that an everywhere
// logout or a provider has ended meanwhile.

var (
	errNeverHad = session.ErrInvalidRequest.With("this cluster has never had a session, so nothing says which of the archive's are dead: " +
		"say sessions=all to bring back every session that has not expired, those included whose users have logged out since the archive was made, " +
		"or sessions=none to take over only who must log in anew")
	errHasHad = session.ErrInvalidRequest.With("this cluster has had sessions: a restore gives those that are alive the data of the archive, " +
		"and brings no other back; leave out the parameter sessions, which is for a cluster that has never had one")
	errOtherRestore = session.ErrInvalidRequest.With("another restore has begun since, or none has: begin this one anew")
	errGaps         = session.ErrInvalidRequest.With("not all chunks of this restore have been applied")
	errChunkAhead   = session.ErrOverloaded.With("chunks before this one have not been applied yet")
	errChunkContent = session.ErrInvalidRequest.With("a chunk holds what is no session, not-before or ended login")
)

// restoring reads the last restore; raw is nil if there was none.
func (e *entry) restoring() (at restoring, raw []byte) {
	raw, ok := e.get(metaRestoreKey)
	if !ok {
		return restoring{}, nil
	}
	at, err := decodeRestoring(raw)
	if err != nil {
		panic("fsm: " + err.Error())
	}
	return at, raw
}

func (e *entry) saveRestoring(at *restoring, old []byte) {
	next := encodeRestoring(at)
	if old == nil {
		e.insert(metaRestoreKey, next)
		return
	}
	e.replace(metaRestoreKey, old, next)
}

// restoreBegin begins a restore, or finds the same one under way: it goes on
// then. One that was given up is replaced. That of a cluster's first sessions is
// known for ever: to repeat it when its answer was lost is no other restore.
func (e *entry) restoreBegin(env *envelope) reply {
	body := bodyOf(e, env, decodeRestoreBegin)
	mode := restoreMode(body.Mode)
	at, raw := e.restoring()
	if raw != nil && at.id == body.ID && at.mode == mode && (!at.done || mode == restoreAll) {
		return reply{}
	}
	switch fresh := e.meta.created == 0; {
	case mode > restoreNone || body.Size == 0:
		return refuse(codeInvalidRequest)
	case fresh && mode == restoreData:
		return refused(errNeverHad)
	case !fresh && mode != restoreData:
		return refused(errHasHad)
	}
	e.saveRestoring(&restoring{id: body.ID, mode: mode, size: body.Size}, raw)
	return reply{}
}

// restoreChunk applies a chunk that has not been applied.
func (e *entry) restoreChunk(env *envelope) reply {
	body := bodyOf(e, env, decodeRestoreChunk)
	at, raw := e.restoring()
	if raw == nil || at.id != body.ID {
		return refused(errOtherRestore)
	}
	applied, ok := at.has(body.Number)
	switch {
	case applied || at.done:
		return reply{}
	case !ok:
		return refused(errChunkAhead)
	}
	things, ok := restorable(body.Pairs)
	if !ok {
		return refused(errChunkContent)
	}
	for _, thing := range things {
		switch {
		case thing.session != nil && at.mode == restoreAll:
			e.reinstate(thing.session, &at.applied)
		case thing.session != nil && at.mode == restoreData:
			e.restoreOne(thing.session, &at.applied)
		case thing.account != nil:
			e.restoreNotBefore(thing.user, thing.account)
		case thing.ended != nil:
			e.restoreEnded(thing.scope, thing.ended)
		}
	}
	at.mark(body.Number)
	e.saveRestoring(&at, raw)
	return reply{}
}

// restoreEnd ends a restore whose chunks have all been applied. What clients hold
// of indexes from before is of another cluster from now on.
func (e *entry) restoreEnd(env *envelope) reply {
	body := bodyOf(e, env, decodeRestoreEnd)
	at, raw := e.restoring()
	switch {
	case raw == nil || at.id != body.ID || body.Cluster == 0:
		return refused(errOtherRestore)
	case at.done:
		return reply{outcome: outcome{index: at.index}}
	case at.low != body.Chunks || at.mask != 0:
		return refused(errGaps)
	}
	at.done, at.index = true, e.index
	e.meta.renamed = body.Cluster
	e.saveRestoring(&at, raw)
	return reply{}
}

// restored is one pair of a chunk; one of session, account and ended is set, or
// none for what a restore leaves out.
type restored struct {
	session *record
	account *account
	user    string
	ended   *remembered
	scope   [scopeLen]byte
}

// restorable reads a chunk whole, so that nothing of one that cannot be read takes
// effect. Who proposes it has read it before, with all rules.
func restorable(pairs [][]byte) (things []restored, ok bool) {
	if len(pairs)%2 != 0 {
		return nil, false
	}
	things = make([]restored, len(pairs)/2)
	for i := range things {
		key, value := pairs[2*i], pairs[2*i+1]
		if len(key) < 2 {
			return nil, false
		}
		var err error
		switch t := &things[i]; key[0] {
		case prefixSession:
			if len(key) != 1+idLen {
				return nil, false
			}
			t.session = new(record)
			err = t.session.decode(tailID(key), value)
		case prefixAccount:
			var a account
			a, err = decodeAccount(value)
			t.account, t.user = &a, string(key[1:])
		case prefixIdempotency:
			var m remembered
			m, err = decodeRemembered(value)
			if len(key) != 1+scopeLen || m.command != cmdLogout {
				return nil, false
			}
			t.ended, t.scope = &m, [scopeLen]byte(key[1:])
		default:
			return nil, false
		}
		if err != nil {
			return nil, false
		}
	}
	return things, true
}

// reasonRestored is that of events that a restore makes.
const reasonRestored = "restored"

// restoreOne gives a session that is alive the data of the archive.
func (e *entry) restoreOne(rec *record, n *counts) {
	h, ok := e.live(rec.ID)
	if !ok || h.UserID != rec.UserID {
		n.dead++
		return
	}
	next := h.record
	var differs bool
	if next.Session, differs = h.Restored(&rec.Session, e.now); !differs {
		n.unchanged++
		return
	}
	n.restored++
	e.save(&h, &next)
	e.event(session.EventUpdated, &next, reasonRestored)
}

// reinstate inserts a session of the archive, if it lives by this log's clock and
// nothing has ended it here.
func (e *entry) reinstate(rec *record, n *counts) {
	if _, there := e.session(rec.ID); there {
		n.unchanged++ // nothing is ever an upsert
		return
	}
	rec.Session = rec.Reinstated(e.now)
	a, _ := e.account(rec.UserID)
	switch {
	case !rec.LiveAt(e.now),
		rec.UserID != "" && a.notBefore != 0 && rec.CreatedAt <= a.notBefore,
		rec.UserID != "" && a.live >= MaxUserSessions,
		e.providerEnded(rec.Auth.Issuer, rec.Auth.SID):
		n.dead++
		return
	}
	n.restored++
	e.add(rec, reasonRestored)
}

// restoreNotBefore keeps the later of two not-befores. One of a clock that was
// ahead counts as of now: nobody has logged in later.
func (e *entry) restoreNotBefore(user string, from *account) {
	a, raw := e.account(user)
	before := min(from.notBefore, e.now)
	if user == "" || from.until <= e.now || before <= a.notBefore {
		return
	}
	if a.until != 0 {
		e.remove(notBeforeKey(a.until, user), present)
	}
	a.notBefore, a.until = before, max(a.until, from.until)
	e.saveAccount(user, a, raw)
	e.insert(notBeforeKey(a.until, user), present)
}

// restoreEnded remembers that a provider's login has ended, or that a logout token
// was used, for as long as there is left.
func (e *entry) restoreEnded(scope [scopeLen]byte, from *remembered) {
	at := min(from.at, e.now)
	if _, there := e.get(idempotencyKey(scope)); there || e.now >= at.Add(idempotencyKept) {
		return
	}
	e.insert(idempotencyKey(scope), encodeRemembered(&remembered{command: cmdLogout, at: at}))
	e.insert(forgetKey(at.Add(idempotencyKept), scope), present)
	e.meta.idempotencies++
}
