package fsm

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// record is a session as the table holds it: the session, and the time at which
// the expiry index holds it, which is never later than its real expiry.
type record struct {
	session.Session
	queuedAt session.Time
}

// Keys of the record's fields. Append only; data comes last of the first 23.
const (
	recUserID       = 1
	recTenantID     = 2
	recVersion      = 3
	recCreatedAt    = 4
	recUpdatedAt    = 5
	recLastActiveAt = 6
	recIdleMillis   = 7
	recAbsoluteAt   = 8
	recIssuer       = 9
	recSubject      = 10
	recSID          = 11
	recMethod       = 12
	recAuthTime     = 13
	recIP           = 14
	recUserAgent    = 15
	recFirstIP      = 16
	recFirstAgent   = 17
	recLabel        = 18
	recSecretHash   = 19
	recSecretSetAt  = 20
	recQueuedAt     = 21
	recData         = 22
	recPast         = 23 // a map of its own: a record has at most 23 fields
)

// Keys of what a record remembers of secrets and clients that it has had.
const (
	pastUsed       = 1 // usedLen bytes for each used secret, one after the other
	pastFormer     = 2 // this and the next two only while a rotation's grace lasts
	pastGraceUntil = 3
	pastSealed     = 4
	pastStrangeAt  = 5
)

// recordOverhead is about what a record takes beside its data.
const recordOverhead = 512

// encodeRecord returns the stored form. The id is the key's and not in it.
func encodeRecord(r *record) []byte {
	return appendRecord(make([]byte, 0, recordOverhead+len(r.Data)), r)
}

func appendRecord(dst []byte, r *record) []byte {
	w := writeFields(dst)
	w.text(recUserID, r.UserID)
	w.text(recTenantID, r.TenantID)
	w.uint(recVersion, r.Version)
	w.int(recCreatedAt, int64(r.CreatedAt))
	w.int(recUpdatedAt, int64(r.UpdatedAt))
	w.int(recLastActiveAt, int64(r.LastActiveAt))
	w.int(recIdleMillis, r.IdleTimeout.Milliseconds())
	w.int(recAbsoluteAt, int64(r.AbsoluteExpiresAt))
	w.text(recIssuer, r.Auth.Issuer)
	w.text(recSubject, r.Auth.Subject)
	w.text(recSID, r.Auth.SID)
	w.text(recMethod, r.Auth.Method)
	w.int(recAuthTime, int64(r.Auth.Time))
	w.text(recIP, r.Device.IP)
	w.text(recUserAgent, r.Device.UserAgent)
	w.text(recFirstIP, r.Device.FirstIP)
	w.text(recFirstAgent, r.Device.FirstUserAgent)
	w.text(recLabel, r.Device.Label)
	w.bytes(recSecretHash, r.SecretHash[:])
	w.int(recSecretSetAt, int64(r.SecretSetAt))
	w.int(recQueuedAt, int64(r.queuedAt))
	w.bytes(recData, r.Data)
	if len(r.Rotation.Used) > 0 || r.StrangeAt != 0 {
		w.bytes(recPast, encodePast(r))
	}
	return w.end()
}

// usedLen is a session.UsedHash, and in 4 bytes for how long it was held.
const usedLen = len(session.UsedHash{}) + 4

func encodePast(r *record) []byte {
	w := writeFields(make([]byte, 0, 256))
	used := make([]byte, 0, session.MaxUsed*usedLen)
	for i := range r.Rotation.Used {
		one := &r.Rotation.Used[i]
		used = binary.BigEndian.AppendUint32(append(used, one.Hash[:]...), one.Held)
	}
	w.bytes(pastUsed, used)
	if r.Rotation.GraceUntil != 0 {
		w.bytes(pastFormer, r.Rotation.Former[:])
		w.int(pastGraceUntil, int64(r.Rotation.GraceUntil))
		w.bytes(pastSealed, r.Rotation.Sealed)
	}
	w.int(pastStrangeAt, int64(r.StrangeAt))
	return w.end()
}

// decodeRecord reads a stored record. Data is a part of raw and must not be
// changed; fields of a later release are passed over.
func decodeRecord(id session.ID, raw []byte) (record, error) {
	var rec record
	err := rec.decode(id, raw)
	return rec, err
}

func (rec *record) decode(id session.ID, raw []byte) error {
	rec.ID = id
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case recUserID:
			rec.UserID = r.text()
		case recTenantID:
			rec.TenantID = r.text()
		case recVersion:
			rec.Version = r.uint()
		case recCreatedAt:
			rec.CreatedAt = session.Time(r.int())
		case recUpdatedAt:
			rec.UpdatedAt = session.Time(r.int())
		case recLastActiveAt:
			rec.LastActiveAt = session.Time(r.int())
		case recIdleMillis:
			rec.IdleTimeout = time.Duration(r.int()) * time.Millisecond
		case recAbsoluteAt:
			rec.AbsoluteExpiresAt = session.Time(r.int())
		case recSecretHash:
			r.fixed(rec.SecretHash[:])
		case recSecretSetAt:
			rec.SecretSetAt = session.Time(r.int())
		case recQueuedAt:
			rec.queuedAt = session.Time(r.int())
		case recData:
			rec.Data = r.bytes()
		case recPast:
			r.bad = !rec.decodePast(r.bytes()) || r.bad
		default:
			rec.decodeOrigin(key, &r)
		}
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("record of session %s: %w", id, err)
	}
	return nil
}

// decodeOrigin reads the fields that say how and from where somebody logged in.
func (rec *record) decodeOrigin(key uint64, r *fieldReader) {
	switch key {
	case recIssuer:
		rec.Auth.Issuer = r.text()
	case recSubject:
		rec.Auth.Subject = r.text()
	case recSID:
		rec.Auth.SID = r.text()
	case recMethod:
		rec.Auth.Method = r.text()
	case recAuthTime:
		rec.Auth.Time = session.Time(r.int())
	case recIP:
		rec.Device.IP = r.text()
	case recUserAgent:
		rec.Device.UserAgent = r.text()
	case recFirstIP:
		rec.Device.FirstIP = r.text()
	case recFirstAgent:
		rec.Device.FirstUserAgent = r.text()
	case recLabel:
		rec.Device.Label = r.text()
	default:
		r.skip(0)
	}
}

func (rec *record) decodePast(raw []byte) bool {
	r := readFields(raw)
	to := &rec.Rotation
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case pastUsed:
			flat := r.bytes()
			if len(flat)%usedLen != 0 || len(flat) > usedLen*session.MaxUsed {
				return false
			}
			for ; len(flat) > 0; flat = flat[usedLen:] {
				const hash = len(session.UsedHash{})
				to.Used = append(to.Used, session.UsedSecret{Hash: session.UsedHash(flat), Held: binary.BigEndian.Uint32(flat[hash:])})
			}
		case pastFormer:
			r.fixed(to.Former[:])
		case pastGraceUntil:
			to.GraceUntil = session.Time(r.int())
		case pastSealed:
			to.Sealed = r.bytes()
		case pastStrangeAt:
			rec.StrangeAt = session.Time(r.int())
		default:
			r.skip(0)
		}
	}
	return r.end() == nil
}
