package fsm

import (
	"cmp"
	"fmt"
	"math"

	"github.com/holdfastdb/holdfast/session"
)

// account is what is kept of a user beside the sessions: how many there are,
// and the not-before of the last log out everywhere until it may be dropped.
// One that says nothing is not stored.
type account struct {
	live      uint64 // sessions in the table, those included that have expired and wait for the sweep
	notBefore session.Time
	until     session.Time
}

const (
	accLive      = 1
	accNotBefore = 2
	accUntil     = 3
)

func encodeAccount(a account) []byte {
	w := writeFields(make([]byte, 0, 24))
	w.uint(accLive, a.live)
	w.int(accNotBefore, int64(a.notBefore))
	w.int(accUntil, int64(a.until))
	return w.end()
}

func decodeAccount(raw []byte) (a account, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case accLive:
			a.live = r.uint()
		case accNotBefore:
			a.notBefore = session.Time(r.int())
		case accUntil:
			a.until = session.Time(r.int())
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return account{}, fmt.Errorf("account: %w", err)
	}
	return a, nil
}

// refuses says whether a login issued then is from before the not-before. Both
// count in whole seconds, because a JWT's iat does.
func (a account) refuses(issuedAt session.Time) bool {
	return a.notBefore != 0 && issuedAt/1000 <= a.notBefore/1000
}

const (
	evTime    = 1
	evType    = 2
	evSession = 3
	evUser    = 4
	evTenant  = 5
	evVersion = 6
	evReason  = 7
)

func encodeEvent(e *session.Event) []byte {
	w := writeFields(make([]byte, 0, 48+len(e.UserID)+len(e.TenantID)+len(e.Reason)))
	w.int(evTime, int64(e.Time))
	w.uint(evType, uint64(e.Type))
	w.bytes(evSession, e.SessionID[:])
	w.text(evUser, e.UserID)
	w.text(evTenant, e.TenantID)
	w.uint(evVersion, e.Version)
	w.text(evReason, e.Reason)
	return w.end()
}

func decodeEvent(id session.EventID, raw []byte) (e session.Event, err error) {
	e.ID = id
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case evTime:
			e.Time = session.Time(r.int())
		case evType:
			e.Type = session.EventType(min(r.uint(), 255))
		case evSession:
			r.fixed(e.SessionID[:])
		case evUser:
			e.UserID = r.text()
		case evTenant:
			e.TenantID = r.text()
		case evVersion:
			e.Version = r.uint()
		case evReason:
			e.Reason = r.text()
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return session.Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	return e, nil
}

// meta is the machine's own state, written with every entry.
type meta struct {
	cluster uint64
	stamp   session.Time // the effective time of the last entry: the log's clock

	sessions, users           uint64 // in the table now
	created, revoked, expired uint64 // since the cluster began
	events, idempotencies     uint64 // in the table now
	// eventFloor is a place at or below the oldest event: a scan begins there,
	// not at the tombstones of those that are gone.
	eventFloor session.EventID
	// raised is the feature level, 0 before it was first raised.
	raised uint16
	// renamed is what indexes that clients hold are of since the last restore, 0
	// before the first: those from before it are believed no more. Between nodes
	// the log keeps its name, or one that lags could never catch up.
	renamed uint64
}

const (
	metaCluster    = 1
	metaStamp      = 2
	metaSessions   = 3
	metaUsers      = 4
	metaCreated    = 5
	metaRevoked    = 6
	metaExpired    = 7
	metaEvents     = 8
	metaIdem       = 9
	metaFloorIndex = 10
	metaFloorOrd   = 11
	metaLevel      = 12
	metaRenamed    = 13
)

// public is what clients know the cluster by.
func (m *meta) public() uint64 { return cmp.Or(m.renamed, m.cluster) }

func encodeMeta(m *meta) []byte {
	w := writeFields(make([]byte, 0, 80))
	w.uint(metaCluster, m.cluster)
	w.int(metaStamp, int64(m.stamp))
	w.uint(metaSessions, m.sessions)
	w.uint(metaUsers, m.users)
	w.uint(metaCreated, m.created)
	w.uint(metaRevoked, m.revoked)
	w.uint(metaExpired, m.expired)
	w.uint(metaEvents, m.events)
	w.uint(metaIdem, m.idempotencies)
	w.uint(metaFloorIndex, m.eventFloor.Index)
	w.uint(metaFloorOrd, uint64(m.eventFloor.Ordinal))
	w.uint(metaLevel, uint64(m.raised))
	w.uint(metaRenamed, m.renamed)
	return w.end()
}

func decodeMeta(raw []byte) (m meta, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case metaCluster:
			m.cluster = r.uint()
		case metaStamp:
			m.stamp = session.Time(r.int())
		case metaSessions:
			m.sessions = r.uint()
		case metaUsers:
			m.users = r.uint()
		case metaCreated:
			m.created = r.uint()
		case metaRevoked:
			m.revoked = r.uint()
		case metaExpired:
			m.expired = r.uint()
		case metaEvents:
			m.events = r.uint()
		case metaIdem:
			m.idempotencies = r.uint()
		case metaFloorIndex:
			m.eventFloor.Index = r.uint()
		case metaFloorOrd:
			m.eventFloor.Ordinal = uint32(min(r.uint(), math.MaxUint32))
		case metaLevel:
			m.raised = uint16(min(r.uint(), math.MaxUint16))
		case metaRenamed:
			m.renamed = r.uint()
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return meta{}, fmt.Errorf("meta: %w", err)
	}
	return m, nil
}
