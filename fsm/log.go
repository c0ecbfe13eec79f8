package fsm

import (
	"context"
	"errors"

	"github.com/holdfastdb/holdfast/session"
)

// Log is what Sessions needs of the replicated log; *cluster.Node satisfies it.
type Log interface {
	// Propose commits one command and returns the machine's reply and the index
	// of its entry. The same bytes may reach the machine more than once.
	Propose(ctx context.Context, command []byte) (reply []byte, index uint64, err error)
	// Read returns once a lookup in this node's table may be answered, with an
	// upper bound of the log's clock in milliseconds: local if this node is fresh
	// and has applied atLeast, strong after a barrier that begins now.
	Read(ctx context.Context, atLeast uint64, strong bool) (now int64, err error)
	// Now is an upper bound of the log's clock in milliseconds, 0 before this
	// node was fresh for the first time.
	Now() int64
	// Leading says whether this node leads.
	Leading() bool
	// MemberLevel is, on the leader, the highest feature level that every member
	// has announced just now; 0 where one of them is silent.
	MemberLevel() uint16
}

// AsSession gives an error of the log, which says by Unavailable why there is no
// answer now, the session's sentinel of that code. Any other error stays as it is.
func AsSession(err error) error {
	reason, ok := errors.AsType[interface {
		error
		Unavailable() string
	}](err)
	if !ok {
		return err
	}
	for _, known := range []*session.Error{
		session.ErrNoLeader, session.ErrStaleNode, session.ErrOverloaded, session.ErrOutcomeUnknown, session.ErrDraining,
		session.ErrDiskLow,
	} {
		if string(known.Code) == reason.Unavailable() {
			return known
		}
	}
	return err
}
