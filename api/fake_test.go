package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// memory is a Sessions that keeps everything in a map: the rules are session's own, and actors are checked as the
// machine checks them, so that a handler that passes on the wrong actor fails here too.
type memory struct {
	mu        sync.Mutex
	now       session.Time
	index     uint64
	policy    session.Policy
	live      map[session.ID]session.Session
	notBefore map[string]session.Time
	repeats   map[[32]byte]repeat
	fail      error // what every call answers, if set

	events   []session.Event
	streams  []*memoryStream
	followed session.Follow // of the last Follow
	closed   int            // streams that were closed

	client  session.Client // of the last call that brought one
	touched bool           // whether the last Get was to touch
	at      session.Consistency
}

type repeat struct {
	body   [32]byte
	answer any
}

const testCluster = 0x1122334455667788

func newMemory() *memory {
	return &memory{
		now: session.FromStd(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), index: 10,
		policy: session.Policy{IdleTimeout: time.Hour, AbsoluteTimeout: 24 * time.Hour, TouchInterval: time.Second, ProtectedKeys: []string{"plan"}, MaxPerUser: 5, RejectOverLimit: true},
		live:   make(map[session.ID]session.Session), notBefore: make(map[string]session.Time), repeats: make(map[[32]byte]repeat),
	}
}

func (m *memory) place() session.Index { return session.Index{Cluster: testCluster, Index: m.index} }

// write advances the log by one entry and the clock by a millisecond.
func (m *memory) write() {
	m.index++
	m.now++
}

func (m *memory) proven(p session.Proof) (session.Session, error) {
	s, ok := m.live[p.ID]
	if !ok || !s.SecretHash.Equal(p.Hash) || !s.LiveAt(m.now) {
		return session.Session{}, session.ErrSessionInvalid
	}
	return s, nil
}

// actor checks who makes a command: the session of a token, or no session for a login or a service alone.
func (m *memory) actor(a session.Actor) (*session.Session, error) {
	m.client = a.Client
	if m.fail != nil {
		return nil, m.fail
	}
	if a.Login != nil {
		return nil, m.checkLogin(*a.Login)
	}
	if a.Session != nil {
		s, err := m.proven(*a.Session)
		return &s, err
	}
	if !a.Service {
		return nil, errors.New("a command of nobody")
	}
	return nil, nil
}

func (m *memory) checkLogin(l session.Login) error {
	if before, ok := m.notBefore[l.UserID]; ok && l.IssuedAt <= before {
		return session.ErrLoginInvalid.With("the login is from before a log out everywhere")
	}
	return nil
}

// once repeats the answer of a write with the same Idempotency-Key.
func once[T any](m *memory, key *session.Idempotency, act func() (T, error)) (T, error) {
	if key != nil {
		if known, ok := m.repeats[key.Scope]; ok {
			answer, same := known.answer.(T)
			if !same || known.body != key.Body {
				return answer, session.ErrIdempotencyConflict
			}
			return answer, nil
		}
	}
	answer, err := act()
	if key != nil && err == nil {
		m.repeats[key.Scope] = repeat{key.Body, answer}
	}
	return answer, err
}

func (m *memory) Create(_ context.Context, c session.Create) (session.Created, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := c.Actor.Session
	c.Actor.Session = nil
	if _, err := m.actor(c.Actor); err != nil {
		return session.Created{}, err
	}
	return once(m, c.Idempotency, func() (session.Created, error) { return m.create(c, old) })
}

func (m *memory) create(c session.Create, old *session.Proof) (session.Created, error) {
	if err := errors.Join(session.ValidUserID(c.UserID), session.ValidTenantID(c.TenantID), session.ValidAuth(c.Auth)); err != nil {
		return session.Created{}, err
	}
	if err := m.policy.CheckCreate(c); err != nil {
		return session.Created{}, err
	}
	idle, absolute, err := m.policy.Timeouts(c)
	if err != nil {
		return session.Created{}, err
	}
	data := c.Data
	if old != nil {
		if ended, err := m.proven(*old); err == nil {
			delete(m.live, ended.ID)
			if ended.UserID == "" && len(c.Carry) > 0 && len(data) == 0 {
				if data, err = session.Pick(ended.Data, c.Carry); err != nil {
					return session.Created{}, err
				}
			}
		}
	}
	count := 0
	for _, s := range m.live {
		if c.UserID != "" && s.UserID == c.UserID {
			count++
		}
	}
	if count >= m.policy.MaxPerUser {
		return session.Created{}, session.ErrSessionLimit
	}
	token, err := session.Mint(rand.Reader, m.now)
	if err != nil {
		return session.Created{}, err
	}
	s, err := session.New(session.Start{
		ID: token.ID, Hash: token.Hash(), UserID: c.UserID, TenantID: c.TenantID, Data: data,
		Idle: idle, Absolute: absolute, Auth: c.Auth, Client: c.Actor.Client, Label: c.Label,
	}, m.now)
	if err != nil {
		return session.Created{}, err
	}
	m.live[s.ID] = s
	m.write()
	return session.Created{Token: token, View: m.view(s)}, nil
}

func (m *memory) view(s session.Session) session.View {
	return session.View{Session: s, Now: m.now, Index: m.place()}
}

func (m *memory) Get(_ context.Context, token session.Token, client session.Client, touch bool, at session.Consistency) (session.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return session.View{}, m.fail
	}
	m.client, m.touched, m.at = client, touch, at
	s, err := m.proven(token.Proof())
	if err != nil {
		return session.View{}, err
	}
	return m.view(s), nil
}

func (m *memory) ByID(_ context.Context, id session.ID, at session.Consistency) (session.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = at
	s, ok := m.live[id]
	if !ok || !s.LiveAt(m.now) {
		return session.View{}, session.ErrNotFound.With("there is no such session, or it is not yours")
	}
	return m.view(s), m.fail
}

func (m *memory) List(_ context.Context, l session.List) (session.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = l.Consistency
	page := session.Page{Now: m.now, Index: m.place()}
	for _, s := range m.live {
		if s.LiveAt(m.now) && (l.UserID != "" && s.UserID == l.UserID || l.TenantID != "" && s.TenantID == l.TenantID) && (l.Cursor == "" || s.ID.String() < l.Cursor) {
			page.Sessions = append(page.Sessions, s)
		}
	}
	slices.SortFunc(page.Sessions, func(a, b session.Session) int { return strings.Compare(b.ID.String(), a.ID.String()) })
	if len(page.Sessions) > l.Limit {
		page.Sessions = page.Sessions[:l.Limit]
		page.Next = page.Sessions[l.Limit-1].ID.String()
	}
	return page, m.fail
}

// target is the session that a command is for, which must be the actor's user's.
func (m *memory) target(a session.Actor, id session.ID) (session.Session, error) {
	own, err := m.actor(a)
	if err != nil {
		return session.Session{}, err
	}
	if own != nil && (id.IsZero() || id == own.ID) {
		return *own, nil
	}
	s, ok := m.live[id]
	if !ok || !s.LiveAt(m.now) || own != nil && (own.UserID == "" || own.UserID != s.UserID) {
		return session.Session{}, session.ErrNotFound
	}
	return s, nil
}

func (m *memory) Patch(_ context.Context, p session.Patch) (session.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.target(p.Actor, p.Target)
	if err != nil {
		return session.View{}, err
	}
	return once(m, p.Idempotency, func() (session.View, error) {
		if p.IfVersion != 0 && p.IfVersion != s.Version {
			return session.View{}, session.ErrVersionConflict
		}
		if p.Label != nil {
			if s, err = s.Labelled(*p.Label); err != nil {
				return session.View{}, err
			}
		}
		if p.Patch != nil {
			if err := m.policy.CheckPatch(p.Actor, p.Patch); err != nil {
				return session.View{}, err
			}
			if s, _, err = s.Patched(p.Patch, m.now); err != nil {
				return session.View{}, err
			}
		}
		m.live[s.ID] = s
		m.write()
		return m.view(s), nil
	})
}

func (m *memory) PatchUser(_ context.Context, p session.PatchUser) (session.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.actor(p.Actor); err != nil {
		return session.Outcome{}, err
	}
	return once(m, p.Idempotency, func() (session.Outcome, error) {
		count := 0
		for id, s := range m.live {
			if s.UserID == p.UserID {
				s, _, err := s.Patched(p.Patch, m.now)
				if err != nil {
					return session.Outcome{}, err
				}
				m.live[id] = s
				count++
			}
		}
		m.write()
		return session.Outcome{Count: count, Index: m.place()}, nil
	})
}

func (m *memory) Refresh(_ context.Context, r session.Refresh) (session.Refreshed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.actor(r.Actor)
	if err != nil {
		return session.Refreshed{}, err
	}
	return once(m, r.Idempotency, func() (session.Refreshed, error) {
		refreshed := s.Refreshed(m.now)
		var token *session.Token
		if r.Rotate && s.Rotates(m.now) {
			if proof := r.Token.Proof(); *r.Actor.Session != proof {
				return session.Refreshed{}, errors.New("the token is not the actor's")
			}
			next, err := session.Mint(rand.Reader, m.now)
			if err != nil {
				return session.Refreshed{}, err
			}
			token = &session.Token{ID: s.ID, Secret: next.Secret}
			refreshed = refreshed.Rotated(token.Hash(), nil, m.now)
		}
		m.live[s.ID] = refreshed
		m.write()
		return session.Refreshed{Token: token, View: m.view(refreshed)}, nil
	})
}

func (m *memory) RevokeLogin(_ context.Context, r session.RevokeLogin) (session.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return session.Outcome{}, m.fail
	}
	if _, used := m.repeats[r.TokenID]; used {
		return session.Outcome{}, session.ErrIdempotencyConflict
	}
	m.repeats[r.TokenID] = repeat{}
	count := 0
	for id, s := range m.live {
		if a := s.Auth; a.Issuer == r.Issuer && (r.SID == "" || r.SID == a.SID) && (r.Subject == "" || r.Subject == a.Subject) {
			delete(m.live, id)
			count++
		}
	}
	m.write()
	return session.Outcome{Count: count, Index: m.place()}, nil
}

func (m *memory) Introspect(_ context.Context, q session.Introspect) (session.Introspected, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.touched = q.Consistency, q.Touch
	all := session.Introspected{Now: m.now, Index: m.place()}
	for _, token := range q.Tokens {
		var one session.Introspection
		if token != nil {
			s, err := m.proven(token.Proof())
			one = session.Introspection{Active: err == nil, Session: s}
		}
		all.Results = append(all.Results, one)
	}
	return all, m.fail
}

func (m *memory) ListEvents(_ context.Context, q session.ListEvents) (session.EventPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = q.Consistency
	page := session.EventPage{Index: m.place(), Next: q.After}
	for _, e := range m.events {
		if e.ID.Compare(q.After) <= 0 || q.UserID != "" && q.UserID != e.UserID || q.Type != 0 && q.Type != e.Type || !q.Session.IsZero() && q.Session != e.SessionID {
			continue
		}
		if page.More = len(page.Events) == q.Limit; page.More {
			break
		}
		page.Events, page.Next = append(page.Events, e), e.ID
	}
	return page, m.fail
}

// Follow gives the events that there are, and then those that say puts there.
func (m *memory) Follow(ctx context.Context, f session.Follow) (session.Stream, error) {
	page, err := m.ListEvents(ctx, session.ListEvents{After: f.After, UserID: f.UserID, Session: f.Session, Type: f.Type, Limit: 1000})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.followed = f
	stream := &memoryStream{m: m, live: make(chan session.Event, 100), gone: make(chan error, 1)}
	for _, e := range page.Events {
		stream.live <- e
	}
	m.streams = append(m.streams, stream)
	return stream, nil
}

// say tells all streams of an event.
func (m *memory) say(e session.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	for _, s := range m.streams {
		s.live <- e
	}
}

type memoryStream struct {
	m    *memory
	live chan session.Event
	gone chan error
}

func (s *memoryStream) Next(ctx context.Context) (session.Event, error) {
	select {
	case e := <-s.live:
		return e, nil
	case err := <-s.gone:
		return session.Event{}, err
	case <-ctx.Done():
		return session.Event{}, ctx.Err()
	}
}

func (s *memoryStream) Close() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.closed++
	s.m.streams = slices.DeleteFunc(s.m.streams, func(o *memoryStream) bool { return o == s })
}

func (m *memory) Revoke(_ context.Context, r session.Revoke) (session.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return once(m, r.Idempotency, func() (session.Outcome, error) {
		s, err := m.target(r.Actor, r.Target)
		if err != nil {
			return session.Outcome{}, err
		}
		delete(m.live, s.ID)
		m.write()
		return session.Outcome{Count: 1, Index: m.place()}, nil
	})
}

func (m *memory) RevokeUser(_ context.Context, r session.RevokeUser) (session.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own, err := m.actor(r.Actor)
	if err != nil {
		return session.Outcome{}, err
	}
	return once(m, r.Idempotency, func() (session.Outcome, error) {
		user := r.UserID
		if own != nil {
			user = cmp.Or(user, own.UserID)
		}
		count := 0
		for id, s := range m.live {
			mine := own != nil && own.ID == id
			if (user != "" && s.UserID == user || mine) && !(mine && r.KeepCurrent) {
				delete(m.live, id)
				count++
			}
		}
		m.write()
		m.notBefore[user] = m.now
		return session.Outcome{Count: count, Index: m.place()}, nil
	})
}

func (m *memory) Sweep(context.Context) (session.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := 0
	for id, s := range m.live {
		if !s.LiveAt(m.now) {
			delete(m.live, id)
			count++
		}
	}
	m.write()
	return session.Outcome{Count: count, Index: m.place()}, m.fail
}

func (m *memory) Stats(_ context.Context, at session.Consistency) (session.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = at
	return session.Stats{Sessions: uint64(len(m.live)), DatabaseBytes: 4096, Index: m.place()}, m.fail
}

func (m *memory) CheckLogin(_ context.Context, l session.Login, at session.Consistency) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = at
	return cmp.Or(m.fail, m.checkLogin(l))
}

func (m *memory) Index() session.Index {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place()
}

// last gives what the last call brought.
func (m *memory) last() (session.Client, bool, session.Consistency) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.client, m.touched, m.at
}

func (m *memory) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

// fixedCluster is a Cluster that says what it is told to.
type fixedCluster struct {
	leader bool
	checks []Check
	err    error

	on, missing []string // what Applied says
	asked       uint64   // the index that Applied was asked for

	change MembershipChange // the last one
	refuse error            // what Change and RotateKey say
	key    string           // the last one that RotateKey was given
}

func (f *fixedCluster) RotateKey(_ context.Context, step, key string) (KeyStep, error) {
	f.key = key
	return KeyStep{Step: step, Key: "7f52ebefae1bd2b8", Done: []string{"n1"}, Missing: []KeyMissing{}}, f.refuse
}

func (f *fixedCluster) Change(_ context.Context, c MembershipChange) (MembershipEffect, error) {
	f.change = c
	return MembershipEffect{
		Action: c.Action, Node: c.Node, Changed: !c.DryRun, Leader: "n1",
		VotersBefore: 3, Voters: 2, FailureToleranceBefore: 1,
	}, f.refuse
}

func (f *fixedCluster) Applied(_ context.Context, index uint64) (on, missing []string, err error) {
	f.asked = index
	return f.on, f.missing, f.err
}

func (f *fixedCluster) Status(context.Context) (Status, error) {
	return Status{
		Cluster: "1122334455667788", Leader: "n1", Term: 3, Healthy: true, FailureTolerance: 1, FeatureLevel: 2,
		Members: []Member{{
			ID: "n1", HTTPAddr: "127.0.0.1:8081", State: "leader", Role: "voter", Zone: "z1", Voter: true, Healthy: true, FeatureLevel: 2,
			DiskFreeBytes: 1, DiskSizeBytes: 2, HealthySince: "2026-03-01T12:00:00.000Z", Clock: "2026-03-01T12:00:00.000Z",
			ClusterKeys: []string{"7f52ebefae1bd2b8"}, PolicyDigest: "0123456789abcdef",
		}},
	}, f.err
}

func (f *fixedCluster) Ready(context.Context) []Check { return f.checks }
func (f *fixedCluster) IsLeader() bool                { return f.leader }
