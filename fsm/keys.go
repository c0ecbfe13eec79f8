package fsm

import (
	"encoding/binary"

	"github.com/holdfastdb/holdfast/session"
)

// Every key begins with one byte that says what it is. Append only. The meta
// keys come first: an archive's header is made of them.
const (
	prefixMeta        = 0x01 // + name
	prefixIncarnation = 0x02 // + incarnation, 8 bytes
	prefixSession     = 0x10 // + id
	prefixUser        = 0x11 // + text(user) + complement of id: newest first
	prefixTenant      = 0x12 // + text(tenant) + complement of id
	prefixSID         = 0x13 // + text(issuer) + text(sid) + id
	prefixSubject     = 0x14 // + text(issuer) + text(subject) + id
	prefixExpiry      = 0x15 // + time + id
	prefixGrace       = 0x16 // + time at which a rotation's grace is over + id
	prefixAccount     = 0x20 // + user
	prefixNotBefore   = 0x21 // + time at which it may be dropped + user
	prefixEvent       = 0x30 // + index, 8 bytes + ordinal, 4 bytes
	prefixIdempotency = 0x40 // + scope
	prefixForget      = 0x41 // + time at which it may be dropped + scope
)

// text(s) is its length in 2 bytes and s, so that no two lists of texts make
// the same key; time is 8 bytes of milliseconds. All numbers are big-endian.

const (
	idLen    = len(session.ID{})
	scopeLen = 32
	timeLen  = 8
)

var (
	metaStateKey = []byte{prefixMeta, 's'}
	// metaHashKey holds the state hash and is the one pair that the hash does not cover.
	metaHashKey = []byte{prefixMeta, 'h'}
	// metaRestoreKey holds the last restore, if there was one.
	metaRestoreKey = []byte{prefixMeta, 'r'}

	// present is the value of a key that says all by being there.
	present = []byte{0xf5}
)

func appendText(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func appendTime(dst []byte, t session.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(max(t, 0)))
}

func appendComplement(dst []byte, id session.ID) []byte {
	for _, b := range id {
		dst = append(dst, ^b)
	}
	return dst
}

func incarnationKey(incarnation uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixIncarnation}, incarnation)
}

func sessionKey(id session.ID) []byte {
	return append(append(make([]byte, 0, 1+idLen), prefixSession), id[:]...)
}

// userPrefix begins the keys of a user's sessions.
func userPrefix(user string) []byte {
	return appendText(append(make([]byte, 0, 3+len(user)+idLen), prefixUser), user)
}

func userKey(user string, id session.ID) []byte { return appendComplement(userPrefix(user), id) }

func tenantPrefix(tenant string) []byte {
	return appendText(append(make([]byte, 0, 3+len(tenant)+idLen), prefixTenant), tenant)
}

func tenantKey(tenant string, id session.ID) []byte {
	return appendComplement(tenantPrefix(tenant), id)
}

// sidPrefix begins the keys of a provider's session's sessions.
func sidPrefix(issuer, sid string) []byte {
	return appendText(appendText([]byte{prefixSID}, issuer), sid)
}

func sidKey(issuer, sid string, id session.ID) []byte {
	return append(sidPrefix(issuer, sid), id[:]...)
}

// subjectPrefix begins the keys of the sessions of a provider's subject.
func subjectPrefix(issuer, subject string) []byte {
	return appendText(appendText([]byte{prefixSubject}, issuer), subject)
}

func subjectKey(issuer, subject string, id session.ID) []byte {
	return append(subjectPrefix(issuer, subject), id[:]...)
}

func expiryKey(at session.Time, id session.ID) []byte {
	return append(appendTime(append(make([]byte, 0, 1+timeLen+idLen), prefixExpiry), at), id[:]...)
}

func graceKey(at session.Time, id session.ID) []byte {
	return append(appendTime(append(make([]byte, 0, 1+timeLen+idLen), prefixGrace), at), id[:]...)
}

func accountKey(user string) []byte {
	return append(append(make([]byte, 0, 1+len(user)), prefixAccount), user...)
}

func notBeforeKey(until session.Time, user string) []byte {
	return append(appendTime([]byte{prefixNotBefore}, until), user...)
}

func eventKey(id session.EventID) []byte {
	key := binary.BigEndian.AppendUint64(append(make([]byte, 0, 13), prefixEvent), id.Index)
	return binary.BigEndian.AppendUint32(key, id.Ordinal)
}

func parseEventKey(key []byte) session.EventID {
	return session.EventID{Index: binary.BigEndian.Uint64(key[1:]), Ordinal: binary.BigEndian.Uint32(key[9:])}
}

func idempotencyKey(scope [scopeLen]byte) []byte {
	return append([]byte{prefixIdempotency}, scope[:]...)
}

func forgetKey(at session.Time, scope [scopeLen]byte) []byte {
	return append(appendTime([]byte{prefixForget}, at), scope[:]...)
}

// after returns the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// due returns the end of a scan, in a time-ordered index, of what is due now.
func due(prefix byte, now session.Time) []byte { return appendTime([]byte{prefix}, now+1) }

// tailID returns the id that ends key.
func tailID(key []byte) session.ID { return session.ID(key[len(key)-idLen:]) }

// tailComplement returns the id whose complement ends key.
func tailComplement(key []byte) session.ID {
	id := tailID(key)
	for i := range id {
		id[i] = ^id[i]
	}
	return id
}

// keyTime returns the time of a key of a time-ordered index.
func keyTime(key []byte) session.Time { return session.Time(binary.BigEndian.Uint64(key[1:])) }
