package fsm

import (
	"errors"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfastdb/holdfast/session"
)

// commandType says what a command does. Append only: the log holds them.
type commandType uint8

const (
	cmdTick       commandType = 1 // nothing but the entry's stamp
	cmdCreate     commandType = 2
	cmdPatch      commandType = 3
	cmdPatchUser  commandType = 4
	cmdRefresh    commandType = 5
	cmdTouch      commandType = 6
	cmdRevoke     commandType = 7
	cmdRevokeUser commandType = 8
	cmdSweep      commandType = 9
	cmdRotate     commandType = 10
	cmdReuse      commandType = 11
	cmdLogout     commandType = 12
	cmdLevel      commandType = 13
	cmdRestore    commandType = 14 // begins one
	cmdRestoring  commandType = 15 // a chunk of it
	cmdRestored   commandType = 16 // ends it
)

// commandVersion is the version that this release writes of every command. A
// version keeps its meaning for ever; another meaning is another version.
const commandVersion = 1

// envelope is what every command is wrapped in. The tags of it and of all within
// it are the format: encode.go and decode.go follow them by hand, and tests hold
// both against fxamacker/cbor, which goes by the tags.
type envelope struct {
	Type    commandType `cbor:"1,keyasint"`
	Version uint8       `cbor:"2,keyasint"`
	// Ignorable allows a release that does not know Type to pass over it.
	Ignorable  bool            `cbor:"3,keyasint,omitempty"`
	Request    *requestID      `cbor:"4,keyasint,omitempty"` // nil: harmless to repeat
	ProposedAt session.Time    `cbor:"5,keyasint,omitempty"` // by the proposer's estimate of the log's clock
	Actor      *wireActor      `cbor:"6,keyasint,omitempty"` // nil: the cluster itself
	Idem       *wireIdem       `cbor:"7,keyasint,omitempty"`
	Body       cbor.RawMessage `cbor:"8,keyasint,omitempty"`
}

// requestID makes a repeated command known (Raft dissertation, 6.3).
type requestID struct {
	_           struct{} `cbor:",toarray"`
	Incarnation uint64   // drawn at random when the proposing service starts
	Sequence    uint64   // 1, 2, 3 …
	Lowest      uint64   // the lowest sequence that the proposer still waits for
}

type wireActor struct {
	Service   bool               `cbor:"1,keyasint,omitempty"`
	SessionID session.ID         `cbor:"2,keyasint"` // zero: no session
	Hash      session.SecretHash `cbor:"3,keyasint"`
	Login     *wireLogin         `cbor:"4,keyasint,omitempty"`
	IP        string             `cbor:"5,keyasint,omitempty"`
	UserAgent string             `cbor:"6,keyasint,omitempty"`
}

type wireLogin struct {
	UserID   string       `cbor:"1,keyasint"`
	IssuedAt session.Time `cbor:"2,keyasint"`
}

type wireIdem struct {
	Scope [scopeLen]byte `cbor:"1,keyasint"`
	Body  [32]byte       `cbor:"2,keyasint"`
}

type createBody struct {
	ID         session.ID         `cbor:"1,keyasint"`
	Hash       session.SecretHash `cbor:"2,keyasint"`
	UserID     string             `cbor:"3,keyasint,omitempty"`
	TenantID   string             `cbor:"4,keyasint,omitempty"`
	Data       []byte             `cbor:"5,keyasint,omitempty"`
	IdleMillis int64              `cbor:"6,keyasint"`
	AbsMillis  int64              `cbor:"7,keyasint"`
	Issuer     string             `cbor:"8,keyasint,omitempty"`
	Subject    string             `cbor:"9,keyasint,omitempty"`
	SID        string             `cbor:"10,keyasint,omitempty"`
	Method     string             `cbor:"11,keyasint,omitempty"`
	AuthTime   session.Time       `cbor:"12,keyasint,omitempty"`
	Carry      []string           `cbor:"13,keyasint,omitempty"`
	Label      string             `cbor:"14,keyasint,omitempty"`
	MaxPerUser uint64             `cbor:"15,keyasint,omitempty"` // 0: no limit
	Reject     bool               `cbor:"16,keyasint,omitempty"` // at the limit: refuse, else evict
}

type patchBody struct {
	Target    session.ID `cbor:"1,keyasint"` // zero: the actor's own
	Patch     []byte     `cbor:"2,keyasint,omitempty"`
	IfVersion uint64     `cbor:"3,keyasint,omitempty"`
	Label     *string    `cbor:"4,keyasint,omitempty"`
}

type patchUserBody struct {
	UserID string `cbor:"1,keyasint"`
	Patch  []byte `cbor:"2,keyasint"`
}

type revokeBody struct {
	Target session.ID `cbor:"1,keyasint"` // zero: the actor's own
}

type revokeUserBody struct {
	UserID      string `cbor:"1,keyasint,omitempty"` // empty: the actor's own
	KeepCurrent bool   `cbor:"2,keyasint,omitempty"`
	// KeepMillis is how long the not-before is remembered: no login JWT from
	// before it can be valid for longer.
	KeepMillis int64 `cbor:"3,keyasint"`
}

type touchBody struct {
	Touches []wireTouch `cbor:"1,keyasint"`
	// Change is what happens to a session that comes from a strange client, and
	// GapMillis how long after one event about it there is no other.
	Change    uint8 `cbor:"2,keyasint,omitempty"`
	GapMillis int64 `cbor:"3,keyasint,omitempty"`
}

type rotateBody struct {
	Hash   session.SecretHash `cbor:"1,keyasint"`
	Sealed []byte             `cbor:"2,keyasint"`
}

type reuseBody struct {
	ID   session.ID         `cbor:"1,keyasint"`
	Hash session.SecretHash `cbor:"2,keyasint"`
}

type logoutBody struct {
	Issuer     string         `cbor:"1,keyasint"`
	SID        string         `cbor:"2,keyasint,omitempty"` // empty: all of the subject
	Subject    string         `cbor:"3,keyasint,omitempty"`
	UserID     string         `cbor:"4,keyasint,omitempty"`
	KeepMillis int64          `cbor:"5,keyasint"` // of the not-before
	Token      [scopeLen]byte `cbor:"6,keyasint"` // by which a repeated logout token is known
}

type levelBody struct {
	Level uint16 `cbor:"1,keyasint"`
}

type wireTouch struct {
	_         struct{} `cbor:",toarray"`
	ID        session.ID
	Active    session.Time
	IP        string
	UserAgent string
}

type sweepBody struct {
	Limit           uint64 `cbor:"1,keyasint"` // sessions, and of each kind of remembered things, at most so many
	EventMillis     int64  `cbor:"2,keyasint"` // events older than this go
	EventCount      uint64 `cbor:"3,keyasint"` // so do the oldest beyond this count
	IdempotencyKeys uint64 `cbor:"4,keyasint"` // and the outcomes of the oldest idempotency keys beyond this
}

const crcLen = 4

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errChecksum = errors.New("command does not match its checksum")
)

func actorToWire(a session.Actor) *wireActor {
	client := a.Client.Trimmed()
	w := &wireActor{Service: a.Service, IP: client.IP, UserAgent: client.UserAgent}
	if a.Session != nil {
		w.SessionID, w.Hash = a.Session.ID, a.Session.Hash
	}
	if a.Login != nil {
		w.Login = &wireLogin{UserID: a.Login.UserID, IssuedAt: a.Login.IssuedAt}
	}
	return w
}

func (w *wireActor) client() session.Client {
	return session.Client{IP: w.IP, UserAgent: w.UserAgent}
}
