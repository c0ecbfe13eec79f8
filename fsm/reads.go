package fsm

import (
	"cmp"
	"context"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// Index is what this node has applied.
func (s *Sessions) Index() session.Index { return s.machine.index() }

// admit waits until this node may answer as the request asks. An index of
// another cluster asks for nothing, once the leader has been asked: this node
// may be the one that has not heard of a new cluster.
func (s *Sessions) admit(ctx context.Context, at session.Consistency) (session.Time, error) {
	foreign := func() bool { return at.AtLeast.Cluster != s.machine.Public() }
	if !at.AtLeast.IsZero() && foreign() {
		now, err := s.log.Read(ctx, 0, true)
		if err != nil || foreign() {
			return session.Time(now), AsSession(err)
		}
	}
	now, err := s.log.Read(ctx, at.AtLeast.Index, at.Strong)
	return session.Time(now), AsSession(err)
}

// verdict is what one lookup found.
type verdict uint8

const (
	absent verdict = iota // not there, or another secret
	ended                 // there, and expired as far as this node can tell
	reused                // there, and the secret was rotated away before
	found
)

// lookup reads one session of the state at hand; hash is nil for whoever asks
// by an id alone.
func (s *Sessions) lookup(id session.ID, hash *session.SecretHash, now session.Time) (session.View, verdict, error) {
	raw, there, at, err := s.machine.look(sessionKey(id))
	if err != nil {
		return session.View{}, absent, err
	}
	if !there {
		raw = decoy
	}
	var rec record
	if err := rec.decode(id, raw); err != nil {
		return session.View{}, absent, err
	}
	v := session.View{Session: rec.Session, Now: now, Index: at}
	standing := session.Current
	if hash != nil {
		standing = rec.Standing(*hash, now)
	}
	switch {
	case !there, standing == session.Unknown:
		return session.View{Index: at}, absent, nil
	case !rec.LiveAt(now):
		return v, ended, nil
	case standing == session.UsedUp:
		return v, reused, nil
	}
	return v, found, nil
}

// decoy is looked at in place of a session that is not there, so that the time of
// an answer does not tell a wrong secret from an unknown token.
var decoy = encodeRecord(&record{Session: session.Session{
	UserID: "nobody", TenantID: "nowhere", Data: []byte("{}"), Version: 1, CreatedAt: 1, UpdatedAt: 1, LastActiveAt: 1,
	IdleTimeout: time.Hour, AbsoluteExpiresAt: 2,
	Device:     session.Device{IP: "192.0.2.1", UserAgent: "nothing", FirstIP: "192.0.2.1", FirstUserAgent: "nothing"},
	SecretHash: session.SecretHash{1}, SecretSetAt: 1,
}, queuedAt: 1})

// find looks for a live session. It says yes as soon as this node may be read,
// no only after a barrier; and that a session has expired only once an entry is
// applied that is stamped at or after the expiry, so that no node says yes after
// another has said no. A secret that was rotated away before ends the session.
func (s *Sessions) find(ctx context.Context, id session.ID, hash *session.SecretHash, at session.Consistency) (session.View, bool, error) {
	if at.Strong && at.Doubt != nil {
		// A barrier comes first: who asks for too many in vain must not get it.
		if _, is, err := s.lookup(id, hash, session.Time(s.log.Now())); err != nil || is != found {
			if err := cmp.Or(err, at.Doubt.Ask()); err != nil {
				return session.View{}, false, err
			}
		}
	}
	now, err := s.admit(ctx, at)
	for confirmed := at.Strong; err == nil; confirmed = true {
		v, is, err := s.lookup(id, hash, now)
		switch {
		case err != nil:
			return session.View{}, false, err
		case is == found:
			return v, true, nil
		case is == absent && confirmed, is == ended && confirmed && s.machine.stamped(v.Session.ExpiresAt()):
			at.Doubt.Count()
			return v, false, nil
		case is == ended && confirmed:
			if _, err := s.send(ctx, envelope{Type: cmdTick}, nil); err != nil {
				return session.View{}, false, err
			}
		case is == reused && confirmed:
			if _, err := s.send(ctx, envelope{Type: cmdReuse}, reuseBody{ID: id, Hash: *hash}); err != nil {
				return session.View{}, false, err
			}
		case !confirmed:
			if err := at.Doubt.Ask(); err != nil {
				return session.View{}, false, err
			}
		}
		if now, err = s.admit(ctx, session.Consistency{Strong: true}); err != nil {
			return session.View{}, false, err
		}
	}
	return session.View{}, false, err
}

// stamped says whether an entry stamped at or after t is applied.
func (m *Machine) stamped(t session.Time) bool { return m.place.Load().stamp >= t }

// Get answers for a token: the live session whose secret it holds, or
// session.ErrSessionInvalid. With touch the read counts as activity of client;
// it does not wait for that to be written.
func (s *Sessions) Get(ctx context.Context, token session.Token, client session.Client, touch bool, at session.Consistency) (session.View, error) {
	hash := token.Hash()
	v, ok, err := s.find(ctx, token.ID, &hash, at)
	switch {
	case err != nil:
		return session.View{}, err
	case !ok:
		return session.View{}, session.ErrSessionInvalid
	}
	return v, s.notice(ctx, &v, client, touch)
}

// ByID finds a live session by its public id, or says session.ErrNotFound.
func (s *Sessions) ByID(ctx context.Context, id session.ID, at session.Consistency) (session.View, error) {
	v, ok, err := s.find(ctx, id, nil, at)
	if err == nil && !ok {
		err = session.ErrNotFound
	}
	return v, err
}

// CheckLogin refuses a login from before its user's log out everywhere. That is
// never taken back, so a node that is behind may refuse too.
func (s *Sessions) CheckLogin(ctx context.Context, l session.Login, at session.Consistency) error {
	if _, err := s.admit(ctx, at); err != nil {
		return err
	}
	raw, ok, _, err := s.machine.look(accountKey(l.UserID))
	if err != nil || !ok {
		return err
	}
	a, err := decodeAccount(raw)
	if err == nil && a.refuses(l.IssuedAt) {
		err = session.ErrLoginInvalid
	}
	return err
}

// Stats counts.
func (s *Sessions) Stats(ctx context.Context, at session.Consistency) (session.Stats, error) {
	if _, err := s.admit(ctx, at); err != nil {
		return session.Stats{}, err
	}
	return s.machine.Stats()
}

// listPiece is how many index keys are looked at while writers wait.
const listPiece = 256

// List gives live sessions of a user or of a tenant, newest first. The cursor
// is the id of the last session that the page before has shown or passed over.
func (s *Sessions) List(ctx context.Context, l session.List) (session.Page, error) {
	var prefix []byte
	switch {
	case (l.UserID == "") == (l.TenantID == ""):
		return session.Page{}, session.ErrInvalidRequest.With("name either a user or a tenant")
	case l.UserID != "":
		prefix = userPrefix(l.UserID)
	default:
		prefix = tenantPrefix(l.TenantID)
	}
	switch {
	case l.Limit < 0:
		return session.Page{}, session.ErrInvalidRequest.With("a page cannot hold %d sessions", l.Limit)
	case l.Limit == 0:
		l.Limit = session.DefaultListLimit
	}
	from := prefix
	if l.Cursor != "" {
		last, err := session.ParseID(l.Cursor)
		if err != nil {
			return session.Page{}, session.ErrInvalidRequest.With("the cursor is not one that a list has given")
		}
		from = append(appendComplement(prefix[:len(prefix):len(prefix)], last), 0)
	}
	now, err := s.admit(ctx, l.Consistency)
	if err != nil {
		return session.Page{}, err
	}
	page := session.Page{Now: now}
	for more := true; more; {
		err := s.machine.view(func(v view) (err error) {
			from, more, err = v.list(&page, prefix, from, min(l.Limit, session.MaxListLimit))
			return err
		})
		if err != nil {
			return session.Page{}, err
		}
		if more && ctx.Err() != nil {
			return session.Page{}, session.ErrOverloaded.With("the list took too long: ask for a smaller page")
		}
	}
	return page, nil
}

// list adds live sessions to a page until it is full or a piece is read. It
// returns where to go on, and whether the page wants more.
func (v view) list(page *session.Page, prefix, from []byte, limit int) (next []byte, more bool, err error) {
	if page.Index.IsZero() {
		// Of the first piece: what it shows, a later entry may have ended.
		page.Index = v.at
	}
	seen := 0
	var fault error
	err = v.Scan(from, after(prefix), func(key, _ []byte) bool {
		if len(page.Sessions) == limit {
			page.Next = page.Sessions[limit-1].ID.String()
			return false
		}
		if seen == listPiece {
			more = true
			return false
		}
		seen++
		id := tailComplement(key)
		next = append(append(next[:0], key...), 0)
		raw, ok, err := v.Get(sessionKey(id))
		if err != nil || !ok {
			fault = err
			return err == nil
		}
		rec, err := decodeRecord(id, raw)
		if err != nil {
			fault = err
			return false
		}
		if rec.LiveAt(page.Now) {
			page.Sessions = append(page.Sessions, rec.Session)
		}
		return true
	})
	if err == nil {
		err = fault
	}
	return next, more, err
}
