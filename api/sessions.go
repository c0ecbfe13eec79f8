package api

import (
	"context"

	"github.com/holdfastdb/holdfast/session"
)

// Sessions is what the handlers need of the session service; *fsm.Sessions satisfies it. Every error that a caller may
// see is one of package session's sentinels, found by session.CodeOf; any other is logged and answered as "internal".
// Each call ends at ctx's deadline at the latest.
//
// The actor of a command is checked where the command is applied, not here: a handler passes on who claims to ask.
type Sessions interface {
	// Create makes a session. The session of Actor.Session, if any, ends in the same command.
	Create(ctx context.Context, c session.Create) (session.Created, error)
	// Get answers for a token; anything but a live session and its right secret is session.ErrSessionInvalid. With touch
	// the read counts as activity of client, without making it wait.
	Get(ctx context.Context, token session.Token, client session.Client, touch bool, at session.Consistency) (session.View, error)
	// ByID finds a live session by its public id, or says session.ErrNotFound.
	ByID(ctx context.Context, id session.ID, at session.Consistency) (session.View, error)
	// List gives the live sessions of a user or of a tenant, newest first.
	List(ctx context.Context, l session.List) (session.Page, error)
	// Patch changes one session: its data by a merge patch, or its label. A target that is not the actor's is
	// session.ErrNotFound.
	Patch(ctx context.Context, p session.Patch) (session.View, error)
	// PatchUser applies one merge patch to all live sessions of a user in one command.
	PatchUser(ctx context.Context, p session.PatchUser) (session.Outcome, error)
	// Refresh extends the idle expiry of the actor's session, and gives it a new token if that is asked for and the one it
	// has is not too young.
	Refresh(ctx context.Context, r session.Refresh) (session.Refreshed, error)
	// Revoke ends the target, or the actor's own session.
	Revoke(ctx context.Context, r session.Revoke) (session.Outcome, error)
	// RevokeUser ends all sessions of a user and refuses the user's login JWTs from before.
	RevokeUser(ctx context.Context, r session.RevokeUser) (session.Outcome, error)
	// RevokeLogin ends the sessions of one login at an identity provider. A logout token that was used before is
	// session.ErrIdempotencyConflict.
	RevokeLogin(ctx context.Context, r session.RevokeLogin) (session.Outcome, error)
	// Introspect answers for several tokens.
	Introspect(ctx context.Context, q session.Introspect) (session.Introspected, error)
	// ListEvents gives the events that are kept, the oldest first.
	ListEvents(ctx context.Context, q session.ListEvents) (session.EventPage, error)
	// Follow gives events as they happen.
	Follow(ctx context.Context, f session.Follow) (session.Stream, error)
	// Sweep expires what is due now.
	Sweep(ctx context.Context) (session.Outcome, error)
	// Stats counts.
	Stats(ctx context.Context, at session.Consistency) (session.Stats, error)
	// CheckLogin refuses, with session.ErrLoginInvalid, a login from before its user's log out everywhere.
	CheckLogin(ctx context.Context, l session.Login, at session.Consistency) error
	// Index is what this node has applied.
	Index() session.Index
}

// Cluster is what the handlers need to know of the cluster; cmd adapts it.
type Cluster interface {
	// Status asks every member.
	Status(ctx context.Context) (Status, error)
	// Ready lists the checks that say whether this node may serve. It must not wait for the network.
	Ready(ctx context.Context) []Check
	// Applied waits, for a bounded time, until every member that can be reached has applied an index, and names those that
	// have and those that have not.
	Applied(ctx context.Context, index uint64) (on, missing []string, err error)
	// Change changes the membership, through whichever node leads. What is refused is session.ErrNotFound,
	// session.ErrQuorumAtRisk or session.ErrChangeRefused, and changed nothing.
	Change(ctx context.Context, c MembershipChange) (MembershipEffect, error)
	KeyRotation
	// IsLeader says whether this node leads now.
	IsLeader() bool
}

// Check is one condition of readiness.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Status is the answer of GET /cluster/status.
type Status struct {
	Cluster          string   `json:"cluster"` // 16 hex digits
	Leader           string   `json:"leader"`  // node id; empty without one
	Term             uint64   `json:"term"`
	Healthy          bool     `json:"healthy"`
	FailureTolerance int      `json:"failure_tolerance"` // members that may still be lost
	FeatureLevel     uint16   `json:"feature_level"`     // that the log has reached
	Members          []Member `json:"members"`
}

// Member is one node of the cluster. What a node that did not answer would have said is zero.
type Member struct {
	ID            string `json:"id"`
	HTTPAddr      string `json:"http_addr"`
	ClusterAddr   string `json:"cluster_addr"`
	Version       string `json:"version"`
	Role          string `json:"role"` // what it was started as: "voter" or "reader"
	Zone          string `json:"zone"`
	Voter         bool   `json:"voter"`
	Demoted       bool   `json:"demoted"` // an operator has taken its vote
	State         string `json:"state"`   // "leader", "follower", "candidate", "down", …
	LastContactMS int64  `json:"last_contact_ms"`
	AppliedIndex  uint64 `json:"applied_index"`
	Lag           uint64 `json:"lag"`           // entries behind the furthest member
	LagMS         int64  `json:"lag_ms"`        // by how much the last entry that it has applied is older than the furthest member's
	FeatureLevel  uint16 `json:"feature_level"` // the highest that its release knows
	DiskFreeBytes int64  `json:"disk_free_bytes"`
	DiskSizeBytes int64  `json:"disk_size_bytes"`
	StateHash     string `json:"state_hash"`
	KeysDigest    string `json:"keys_digest"` // of the keys file
	// PolicyDigest is of the flags for sessions and logins, which every node should have alike.
	PolicyDigest string `json:"policy_digest,omitempty"`
	// ClusterKeys are the names of the cluster keys that it believes, that of the one which it signs with first.
	ClusterKeys  []string `json:"cluster_keys,omitempty"`
	Healthy      bool     `json:"healthy"`
	HealthySince string   `json:"healthy_since,omitempty"` // RFC 3339, by its own clock
	Clock        string   `json:"clock,omitempty"`         // its wall clock when it answered, RFC 3339
	Detail       string   `json:"detail,omitempty"`        // why it is not healthy
}
