package fsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// Defaults of Config.
const (
	DefaultSweepInterval   = time.Second
	DefaultEventsKept      = 30 * 24 * time.Hour
	DefaultMaxEvents       = 1_000_000
	DefaultMaxIdempotences = 100_000
	DefaultMaxStreams      = 5_000
)

// Config is what the service needs to know. Zero durations and counts mean the
// defaults; Rand is needed.
type Config struct {
	Policy session.Policy
	// LoginLifetime is the longest time for which a login JWT is accepted, clock
	// leeways included: a log out everywhere is remembered for so long.
	LoginLifetime time.Duration
	// SweepInterval is how often the leader looks for what has expired (1s).
	SweepInterval time.Duration
	// Events go after EventsKept (30 days), the oldest beyond MaxEvents (1,000,000)
	// sooner.
	EventsKept time.Duration
	MaxEvents  uint64
	// MaxIdempotencyKeys bounds the keys that are remembered (100,000).
	MaxIdempotencyKeys uint64
	// MaxStreams bounds the event streams of this node (5,000).
	MaxStreams int
	// DiskLow says whether this node's disk is nearly full: what makes the data
	// grow is refused then. Nil: it never is.
	DiskLow func() bool
	// SealKeys are the cluster's keys for what a rotation seals, of
	// session.SealKeyLen bytes, the newest first: it seals, all of them open. Nil:
	// nothing can be rotated.
	SealKeys func() [][]byte
	// Rand draws tokens and incarnations: crypto/rand.Reader, but for tests.
	Rand   io.Reader
	Logger *slog.Logger // discarded if nil
}

func (c Config) withDefaults() Config {
	if c.SweepInterval == 0 {
		c.SweepInterval = DefaultSweepInterval
	}
	if c.EventsKept == 0 {
		c.EventsKept = DefaultEventsKept
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = DefaultMaxEvents
	}
	if c.MaxIdempotencyKeys == 0 {
		c.MaxIdempotencyKeys = DefaultMaxIdempotences
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.DiskLow == nil {
		c.DiskLow = func() bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Rand == nil {
		faults = append(faults, errors.New("the service needs a source of randomness"))
	}
	if c.SweepInterval < 0 || c.EventsKept < 0 || c.LoginLifetime < 0 || c.MaxStreams < 0 {
		faults = append(faults, errors.New("intervals and times must not be negative"))
	}
	return errors.Join(append(faults, c.Policy.Validate())...)
}

// Sessions is the service: it proposes commands, and answers reads from the
// machine of this node. All methods may be called from any goroutine; errors
// that a caller may see are package session's sentinels.
type Sessions struct {
	cfg     Config
	log     Log
	machine *Machine
	numbers numbering
	touches touches
	figures figures
	filters eventFilters
	feed    *feed

	stop func() // ends the goroutines
	done sync.WaitGroup
}

// Open starts the sweeper, the collector of touches and the feed of events, which
// Close ends.
func Open(cfg Config, log Log, machine *Machine) (*Sessions, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open the session service: %w", err)
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sessions{
		cfg: cfg, log: log, machine: machine, numbers: numbering{rand: cfg.Rand},
		touches: newTouches(), feed: newFeed(cfg.MaxStreams), stop: cancel,
	}
	s.done.Go(func() { s.runSweeper(ctx) })
	s.done.Go(func() { s.runTouches(ctx) })
	s.done.Go(func() { s.runFeed(ctx) })
	return s, nil
}

// Close ends the goroutines and waits for them. Activity that has not been sent
// is lost, without harm.
func (s *Sessions) Close() error {
	s.stop()
	s.done.Wait()
	return nil
}

// clock is an upper bound of the log's clock. A node that has not been fresh
// yet knows none and asks; it then also knows which cluster it is in.
func (s *Sessions) clock(ctx context.Context) (session.Time, error) {
	if now := s.log.Now(); now != 0 {
		return session.Time(now), nil
	}
	now, err := s.log.Read(ctx, 0, false)
	return session.Time(now), AsSession(err)
}

// grows says whether a command may make the data larger.
func (t commandType) grows() bool {
	return t == cmdCreate || t == cmdPatch || t == cmdPatchUser || t == cmdRestore || t == cmdRestoring
}

// propose commits one command that must take effect once.
func (s *Sessions) propose(ctx context.Context, e envelope, body any) (reply, error) {
	if e.Type.grows() && s.cfg.DiskLow() {
		return reply{}, session.ErrDiskLow
	}
	now, err := s.clock(ctx)
	if err != nil {
		return reply{}, err
	}
	request, l, err := s.numbers.begin()
	if err != nil {
		return reply{}, err
	}
	defer s.numbers.end(l, request.Sequence)
	e.Request, e.ProposedAt = &request, now
	return s.send(ctx, e, body)
}

// send commits one command, which may take effect more than once unless it has
// a request id.
func (s *Sessions) send(ctx context.Context, e envelope, body any) (reply, error) {
	command, err := encodeCommand(e, body)
	if err != nil {
		return reply{}, err
	}
	raw, _, err := s.log.Propose(ctx, command)
	if err != nil {
		return reply{}, AsSession(err)
	}
	p, err := decodeReply(raw)
	if err != nil {
		return reply{}, err
	}
	return p, p.err()
}

func idemToWire(i *session.Idempotency) *wireIdem {
	if i == nil {
		return nil
	}
	return &wireIdem{Scope: i.Scope, Body: i.Body}
}

// act commits a command that is made on the strength of an actor. A session
// token is looked at here first: what every node knows to be dead must not
// reach the log, or anybody could fill it. The machine looks again.
func (s *Sessions) act(ctx context.Context, what commandType, a session.Actor, idem *session.Idempotency, body any) (reply, error) {
	if a.Session != nil {
		if err := s.vouch(ctx, a, idem); err != nil {
			return reply{}, err
		}
	}
	return s.propose(ctx, envelope{Type: what, Actor: actorToWire(a), Idem: idemToWire(idem)}, body)
}

// vouch refuses a token of no live session, unless its command is a repetition:
// the first one may have ended the session, and the log knows the answer.
func (s *Sessions) vouch(ctx context.Context, a session.Actor, idem *session.Idempotency) error {
	v, found, err := s.find(ctx, a.Session.ID, &a.Session.Hash, session.Consistency{Doubt: a.Doubt})
	switch {
	case err != nil:
		return err
	case found:
		return s.notice(ctx, &v, a.Client, false)
	}
	if idem != nil {
		if _, used, _, err := s.machine.look(idempotencyKey(idem.Scope)); used || err != nil {
			return err
		}
	}
	return session.ErrSessionInvalid
}

// view is the session of a reply. A repeated command's has none, and is answered
// with the session as it is now, to an actor whose own session (nil for none)
// is live now: the machine looks at the actor of the first command alone.
func (s *Sessions) view(ctx context.Context, p *reply, actor *session.Proof) (session.View, error) {
	at := session.Index{Cluster: s.machine.Public(), Index: p.index}
	if p.record == nil {
		if actor != nil {
			_, found, err := s.find(ctx, actor.ID, &actor.Hash, session.Consistency{AtLeast: at})
			if err != nil {
				return session.View{}, err
			}
			if !found {
				return session.View{}, session.ErrSessionInvalid
			}
		}
		v, found, err := s.find(ctx, p.id, nil, session.Consistency{AtLeast: at})
		if err == nil && !found {
			err = session.ErrSessionInvalid.With("the session has ended since this request was first answered")
		}
		return v, err
	}
	rec, err := decodeRecord(p.id, p.record)
	return session.View{Session: rec.Session, Now: p.now, Index: at}, err
}

// outcome is what a caller is told of a reply that shows no session.
func (s *Sessions) outcome(p reply, err error) (session.Outcome, error) {
	if err != nil {
		return session.Outcome{}, err
	}
	return session.Outcome{Count: int(p.count), Index: session.Index{Cluster: s.machine.Public(), Index: p.index}}, nil
}

// Create makes a session and its token. The session of Actor.Session, if it
// lives, ends in the same command.
func (s *Sessions) Create(ctx context.Context, c session.Create) (session.Created, error) {
	if err := s.cfg.Policy.CheckCreate(c); err != nil {
		return session.Created{}, err
	}
	idle, absolute, err := s.cfg.Policy.Timeouts(c)
	if err != nil {
		return session.Created{}, err
	}
	now, err := s.clock(ctx)
	if err != nil {
		return session.Created{}, err
	}
	token, err := session.Mint(s.cfg.Rand, now)
	if err != nil {
		return session.Created{}, err
	}
	// What the machine would refuse need not reach the log.
	begun, err := session.New(session.Start{
		ID: token.ID, Hash: token.Hash(), UserID: c.UserID, TenantID: c.TenantID, Data: c.Data,
		Idle: idle, Absolute: absolute, Auth: c.Auth, Client: c.Actor.Client, Label: c.Label,
	}, now)
	if err != nil {
		return session.Created{}, err
	}
	body := createBody{
		ID: token.ID, Hash: begun.SecretHash, UserID: c.UserID, TenantID: c.TenantID, Data: begun.Data,
		IdleMillis: idle.Milliseconds(), AbsMillis: absolute.Milliseconds(),
		Issuer: c.Auth.Issuer, Subject: c.Auth.Subject, SID: c.Auth.SID, Method: c.Auth.Method, AuthTime: c.Auth.Time,
		Carry: c.Carry, Label: c.Label,
		MaxPerUser: uint64(s.cfg.Policy.MaxPerUser), Reject: s.cfg.Policy.RejectOverLimit,
	}
	p, err := s.propose(ctx, envelope{Type: cmdCreate, Actor: actorToWire(c.Actor), Idem: idemToWire(c.Idempotency)}, body)
	if err != nil {
		return session.Created{}, err
	}
	view, err := s.view(ctx, &p, nil) // the session that was shown has ended
	// A repetition has drawn a new secret for the session that the first one made.
	return session.Created{Token: session.Token{ID: p.id, Secret: token.Secret}, View: view}, err
}

// Patch changes one session: its data by a merge patch, its label, or both.
func (s *Sessions) Patch(ctx context.Context, c session.Patch) (session.View, error) {
	if len(c.Patch) > 0 {
		if err := s.cfg.Policy.CheckPatch(c.Actor, c.Patch); err != nil {
			return session.View{}, err
		}
	}
	if c.Label != nil {
		if err := session.ValidLabel(*c.Label); err != nil {
			return session.View{}, err
		}
	}
	body := patchBody{Target: c.Target, Patch: c.Patch, IfVersion: c.IfVersion, Label: c.Label}
	p, err := s.act(ctx, cmdPatch, c.Actor, c.Idempotency, body)
	if err != nil {
		return session.View{}, err
	}
	return s.view(ctx, &p, c.Actor.Session)
}

// PatchUser applies one merge patch to all of a user's live sessions, in one
// command: to all or to none.
func (s *Sessions) PatchUser(ctx context.Context, c session.PatchUser) (session.Outcome, error) {
	if err := s.cfg.Policy.CheckPatch(c.Actor, c.Patch); err != nil {
		return session.Outcome{}, err
	}
	if err := session.ValidUserID(c.UserID); err != nil {
		return session.Outcome{}, err
	}
	return s.outcome(s.act(ctx, cmdPatchUser, c.Actor, c.Idempotency, patchUserBody{UserID: c.UserID, Patch: c.Patch}))
}

// Refresh counts the idle expiry of the actor's session anew, and gives it a new
// secret if that is asked for.
func (s *Sessions) Refresh(ctx context.Context, c session.Refresh) (session.Refreshed, error) {
	if c.Rotate {
		return s.rotate(ctx, c)
	}
	p, err := s.act(ctx, cmdRefresh, c.Actor, c.Idempotency, nil)
	if err != nil {
		return session.Refreshed{}, err
	}
	view, err := s.view(ctx, &p, c.Actor.Session)
	return session.Refreshed{View: view}, err
}

// RevokeLogin ends what an identity provider says is over. A logout token that
// was used before is session.ErrIdempotencyConflict.
func (s *Sessions) RevokeLogin(ctx context.Context, c session.RevokeLogin) (session.Outcome, error) {
	auth := session.Auth{Issuer: c.Issuer, SID: c.SID, Subject: c.Subject}
	switch {
	case c.Issuer == "" || (c.SID == "" && c.Subject == ""):
		return session.Outcome{}, session.ErrInvalidRequest.With("name an issuer, and a session or a subject of it")
	case session.ValidAuth(auth) != nil || session.ValidUserID(c.UserID) != nil:
		return session.Outcome{}, cmp.Or(session.ValidAuth(auth), session.ValidUserID(c.UserID))
	}
	return s.outcome(s.propose(ctx, envelope{Type: cmdLogout}, logoutBody{
		Issuer: c.Issuer, SID: c.SID, Subject: c.Subject, UserID: c.UserID, Token: c.TokenID,
		KeepMillis: s.cfg.LoginLifetime.Milliseconds(),
	}))
}

// Revoke ends one session. One whose token is dead already writes nothing.
func (s *Sessions) Revoke(ctx context.Context, c session.Revoke) (session.Outcome, error) {
	return s.outcome(s.act(ctx, cmdRevoke, c.Actor, c.Idempotency, revokeBody{Target: c.Target}))
}

// RevokeUser ends all of a user's sessions and refuses older logins from then on.
func (s *Sessions) RevokeUser(ctx context.Context, c session.RevokeUser) (session.Outcome, error) {
	if err := session.ValidUserID(c.UserID); err != nil {
		return session.Outcome{}, err
	}
	return s.outcome(s.act(ctx, cmdRevokeUser, c.Actor, c.Idempotency, revokeUserBody{
		UserID: c.UserID, KeepCurrent: c.KeepCurrent, KeepMillis: s.cfg.LoginLifetime.Milliseconds(),
	}))
}
