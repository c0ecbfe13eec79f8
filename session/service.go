package session

import (
	"context"
	"time"
)

// Actor is who makes a command: exactly what the machine checks before it acts.
type Actor struct {
	Service bool   // a service or operator key: may act for any user and set protected keys
	Session *Proof // made on the strength of this session's token, also beside Service
	Login   *Login // made on the strength of a login JWT
	Client  Client
	Doubt   Doubt
}

// Login is what a checked login JWT says.
type Login struct {
	UserID   string
	IssuedAt Time // iat, in whole seconds
}

// Idempotency is an Idempotency-Key as the log knows it: hashes of what it is
// scoped to, and of the body that it came with.
type Idempotency struct {
	Scope [32]byte
	Body  [32]byte
}

// Create asks for a new session. Actor.Session, if set, ends in the same
// command. Zero timeouts are the operator's defaults.
type Create struct {
	Actor           Actor
	UserID          string
	TenantID        string
	Data            []byte
	IdleTimeout     time.Duration
	AbsoluteTimeout time.Duration
	Auth            Auth
	Carry           []string // data keys to take along from the anonymous session that ends
	Label           string
	Idempotency     *Idempotency
}

// View is a session as one node answered it, by the log's clock.
type View struct {
	Session Session
	Now     Time
	Index   Index
}

// Created is a new session and its token, which is never shown again.
type Created struct {
	Token Token
	View
}

// Patch changes one session's data, or its label.
type Patch struct {
	Actor       Actor
	Target      ID     // zero: the actor's own
	Patch       []byte // RFC 7396; nil: data stays
	IfVersion   uint64 // 0: whatever the version is
	Label       *string
	Idempotency *Idempotency
}

// PatchUser changes the data of all of a user's live sessions.
type PatchUser struct {
	Actor       Actor
	UserID      string
	Patch       []byte
	Idempotency *Idempotency
}

// Refresh extends the actor's own session, and with Rotate gives it a new
// secret. That needs Token, the one that Actor.Session is the proof of: only who
// holds it can seal the next, and learn what another has drawn.
type Refresh struct {
	Actor       Actor
	Rotate      bool
	Token       Token
	Idempotency *Idempotency
}

// Refreshed is a session after a refresh, and its new token if it was rotated.
type Refreshed struct {
	Token *Token
	View
}

// RevokeLogin ends the sessions of one login at an identity provider: that of
// (Issuer, SID), or with an empty SID all of (Issuer, Subject), whose user is
// then logged out everywhere. Subject, if set beside SID, must be the session's.
type RevokeLogin struct {
	Issuer  string
	SID     string
	Subject string
	UserID  string   // of Subject
	TokenID [32]byte // hash of who sent the logout token and its jti: it works once
}

// Introspection answers for one token; the zero value is of one that is dead.
type Introspection struct {
	Active  bool
	Session Session
}

// Introspect asks about several tokens at once. A nil token is one that could
// not be read.
type Introspect struct {
	Tokens      []*Token
	Touch       bool
	Consistency Consistency
}

// Introspected answers Introspect, in the order of its tokens.
type Introspected struct {
	Results []Introspection
	Now     Time
	Index   Index
}

// ListEvents asks for a page of events, the oldest first. What is set must hold
// of each; all zero asks for all. Limit 0 is DefaultEventLimit; at most
// MaxEventLimit.
type ListEvents struct {
	After       EventID // begins behind it
	UserID      string
	Session     ID
	Type        EventType
	Limit       int
	Consistency Consistency
}

// EventPage answers ListEvents. Next is the id to go on after: of the last event
// that was looked at, wanted or not. More says whether there may be others.
type EventPage struct {
	Events []Event
	Next   EventID
	More   bool
	Index  Index
}

// Follow asks for events as they happen, those after After: of one session, of
// one user, or of all.
type Follow struct {
	Session ID
	UserID  string
	Type    EventType
	After   EventID
}

// Stream gives events as one node learns of them, in order and each once.
type Stream interface {
	// Next waits for the next event. After an error there are no more: ctx's own,
	// or why the node gives none (ErrStaleNode, ErrOverloaded for a reader that was
	// too slow, ErrDraining).
	Next(ctx context.Context) (Event, error)
	// Close ends the stream.
	Close()
}

// Revoke ends one session.
type Revoke struct {
	Actor       Actor
	Target      ID // zero: the actor's own
	Idempotency *Idempotency
}

// RevokeUser ends all of a user's sessions, and refuses older logins from then on.
type RevokeUser struct {
	Actor       Actor
	UserID      string // empty: the actor's own
	KeepCurrent bool
	Idempotency *Idempotency
}

// List asks for a page of live sessions, newest first. One of UserID and
// TenantID is set. Limit 0 is DefaultListLimit; at most MaxListLimit.
type List struct {
	UserID      string
	TenantID    string
	Limit       int
	Cursor      string
	Consistency Consistency
}

// Page answers List. Next is the cursor of the page that follows, empty at the end.
type Page struct {
	Sessions []Session
	Next     string
	Now      Time
	Index    Index
}

// Outcome answers a command that has no session to show.
type Outcome struct {
	Count int
	Index Index
}

// Stats counts what a node holds, and what has happened since the cluster began.
type Stats struct {
	Sessions      uint64
	Users         uint64
	Created       uint64
	Revoked       uint64
	Expired       uint64
	Events        uint64
	DatabaseBytes int64
	Index         Index
}
