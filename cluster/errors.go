package cluster

import (
	"errors"
	"fmt"
)

// Error says that this node cannot answer now, and which of the service's codes
// that is. It never means that the request was wrong.
type Error struct {
	reason string
	detail string
	cause  error
}

func (e *Error) Error() string {
	text := "cluster: " + e.detail
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unavailable is one of no_leader, stale_node, overloaded, outcome_unknown and
// draining.
func (e *Error) Unavailable() string { return e.reason }

func (e *Error) Unwrap() error { return e.cause }

// Is matches by reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.reason == e.reason
}

func (e *Error) because(cause error) error {
	return &Error{reason: e.reason, detail: e.detail, cause: cause}
}

// The errors of Propose and Read; errors.Is matches by reason.
var (
	// ErrNoLeader: the command was never sent to anybody. It did not happen.
	ErrNoLeader = &Error{reason: "no_leader", detail: "no leader was found in time"}
	// ErrOutcomeUnknown: the command was sent and no answer came. It may happen yet.
	ErrOutcomeUnknown = &Error{reason: "outcome_unknown", detail: "the command was sent and its outcome is unknown"}
	// ErrStale: this node could not prove in time that it is fresh.
	ErrStale = &Error{reason: "stale_node", detail: "this node could not prove that it is fresh"}
	// ErrOverloaded: a bound on waiting requests was reached.
	ErrOverloaded = &Error{reason: "overloaded", detail: "too many requests wait on this node"}
	// ErrDraining: this node is closing. The command was not sent.
	ErrDraining = &Error{reason: "draining", detail: "this node is closing"}
)

var errOverloaded error = ErrOverloaded

// The reasons for which a node ends by itself; Node.Err wraps one of them.
var (
	// ErrDisk: the log, the table or the machine did not finish within the disk
	// timeout, or failed.
	ErrDisk = errors.New("the disk failed or hangs")
	// ErrCorrupt: the log's file is not what was written, or not of this table.
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrIdentity: identity.json is not what was written. Only Open returns it.
	ErrIdentity = errors.New("the file is damaged")
	// ErrMachine: the machine could not apply an entry: its table is damaged, or the
	// entry is of a newer release.
	ErrMachine = errors.New("the state cannot be carried on")
	// ErrDiverged: this node's state differs from the leader's.
	ErrDiverged = errors.New("this node's state differs from the cluster's")
	// ErrRemoved: the leader's configuration no longer holds this node.
	ErrRemoved = errors.New("this node was removed from the cluster")
	// ErrOtherCluster: this node's data belong to another cluster.
	ErrOtherCluster = errors.New("this data directory belongs to another cluster")
)

// ErrCommandTooLarge is returned for a command above MaxCommandBytes.
var ErrCommandTooLarge = fmt.Errorf("command is larger than %d bytes", MaxCommandBytes)

// What a single attempt to propose may end in, beside success.
var (
	// errNotExecuted: certainly not in any log. Try again at once.
	errNotExecuted = errors.New("not executed")
	// errAttemptUnknown: it may or may not be committed. The same bytes again.
	errAttemptUnknown = errors.New("outcome unknown")
)
