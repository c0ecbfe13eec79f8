package fsm

import (
	"bytes"
	"maps"
	"slices"

	"github.com/holdfastdb/holdfast/session"
)

// checkMachine checks all that must hold of a state between two entries.
func checkMachine(t tester, m *Machine) {
	t.Helper()
	c := census{tester: t, m: m, pairs: map[string][]byte{}, live: map[string]uint64{}, indexes: map[string]bool{}}
	err := m.table.Scan([]byte{0}, nil, func(key, value []byte) bool {
		c.pairs[string(key)] = bytes.Clone(value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.pairs) == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(c.pairs)) {
		c.count([]byte(key), c.pairs[key])
	}
	c.checkIndexes()
	c.checkAccounts()
	c.checkMeta()
	c.checkHash()
}

// census counts a state once, whole.
type census struct {
	tester
	m     *Machine
	pairs map[string][]byte

	sessions, events, idempotencies, incarnations uint64
	created                                       uint64            // events that say so
	live                                          map[string]uint64 // sessions of each user
	indexes                                       map[string]bool   // index keys that must be there, and none beside them
	oldest                                        session.EventID
}

func (c *census) count(key, value []byte) {
	c.Helper()
	switch key[0] {
	case prefixSession:
		c.countSession(tailID(key), value)
	case prefixUser, prefixTenant, prefixSID, prefixSubject, prefixExpiry, prefixGrace, prefixNotBefore, prefixForget:
		if !bytes.Equal(value, present) {
			c.Errorf("index key %x has the value %x", key, value)
		}
	case prefixAccount:
		a, err := decodeAccount(value)
		if err != nil || a == (account{}) || !bytes.Equal(encodeAccount(a), value) {
			c.Errorf("account %q: %+v, %v", key[1:], a, err)
		}
		if a.until != 0 {
			c.indexes[string(notBeforeKey(a.until, string(key[1:])))] = true
		}
	case prefixEvent:
		c.countEvent(parseEventKey(key), value)
	case prefixIdempotency:
		r, err := decodeRemembered(value)
		if err != nil || !bytes.Equal(encodeRemembered(&r), value) {
			c.Errorf("idempotency key %x: %v", key, err)
		}
		c.idempotencies++
		c.indexes[string(forgetKey(r.at.Add(idempotencyKept), [scopeLen]byte(key[1:])))] = true
	case prefixIncarnation:
		c.countIncarnation(uint64(keyTime(key)), value)
	case prefixMeta:
	default:
		c.Errorf("key %x is of no kind", key)
	}
}

func (c *census) countSession(id session.ID, value []byte) {
	c.Helper()
	rec, err := decodeRecord(id, value)
	if err != nil {
		c.Fatal(err)
	}
	if !bytes.Equal(encodeRecord(&rec), value) {
		c.Errorf("the record of %s is spelt in another way than it would be written", id)
	}
	if data, err := session.CanonicalObject(rec.Data); err != nil || !bytes.Equal(data, rec.Data) {
		c.Errorf("the data of %s is not canonical: %v", id, err)
	}
	if rec.queuedAt > rec.ExpiresAt() {
		c.Errorf("%s expires at %d and is queued for %d: it would be served late", id, rec.ExpiresAt(), rec.queuedAt)
	}
	c.sessions++
	if rec.UserID != "" {
		c.live[rec.UserID]++
	}
	for key := range indexKeys(&rec) {
		c.indexes[string(key)] = true
	}
}

func (c *census) countEvent(id session.EventID, value []byte) {
	c.Helper()
	e, err := decodeEvent(id, value)
	if err != nil || e.Type.String() == "unknown" || e.SessionID.IsZero() || !bytes.Equal(encodeEvent(&e), value) {
		c.Errorf("event %s: %+v, %v", id, e, err)
	}
	if c.events++; c.events == 1 {
		c.oldest = id
	}
	if e.Type == session.EventCreated {
		c.created++
	}
}

func (c *census) countIncarnation(id uint64, value []byte) {
	c.Helper()
	inc, err := decodeIncarnation(value)
	if err != nil || !bytes.Equal(inc.encode(), value) {
		c.Fatalf("incarnation %x: %v", id, err)
	}
	c.incarnations++
	known := c.m.incarnations[id]
	if known == nil || known.dirty || known.lowest != inc.lowest || known.lastSeen != inc.lastSeen ||
		!slices.Equal(known.outcomes, inc.outcomes) || !bytes.Equal(known.stored, value) {
		c.Errorf("incarnation %x is %+v in memory and %+v in the table", id, known, inc)
	}
	for _, o := range inc.outcomes {
		if o.sequence < inc.lowest || o.sequence-inc.lowest >= maxOutstanding {
			c.Errorf("incarnation %x keeps outcome %d; its lowest is %d", id, o.sequence, inc.lowest)
		}
	}
}

// checkIndexes holds every index key against what it points at, both ways.
func (c *census) checkIndexes() {
	c.Helper()
	for key := range c.indexes {
		if _, ok := c.pairs[key]; !ok {
			c.Errorf("index key %x is missing", key)
		}
	}
	for key := range c.pairs {
		isIndex := key[0] > prefixSession && key[0] <= prefixGrace || key[0] == prefixNotBefore || key[0] == prefixForget
		if isIndex && !c.indexes[key] {
			c.Errorf("index key %x points at nothing", key)
		}
	}
}

func (c *census) checkAccounts() {
	c.Helper()
	for user, n := range c.live {
		a, err := decodeAccount(c.pairs[string(accountKey(user))])
		if err != nil || a.live != n {
			c.Errorf("the account of %q counts %d sessions of %d (%v)", user, a.live, n, err)
		}
	}
	for key, value := range c.pairs {
		if key[0] == prefixAccount {
			if a, _ := decodeAccount(value); a.live != c.live[key[1:]] || (a.until == 0) != (a.notBefore == 0) {
				c.Errorf("the account of %q is %+v, with %d sessions", key[1:], a, c.live[key[1:]])
			}
		}
	}
}

func (c *census) checkMeta() {
	c.Helper()
	raw := c.pairs[string(metaStateKey)]
	kept, err := decodeMeta(raw)
	if err != nil || kept != c.m.meta || !bytes.Equal(raw, c.m.metaRaw) || !bytes.Equal(encodeMeta(&kept), raw) {
		c.Fatalf("meta is %+v in memory and %+v in the table: %v", c.m.meta, kept, err)
	}
	if _, _, stamp := c.m.Applied(); kept.stamp != session.Time(stamp) || kept.cluster != c.m.Cluster() {
		c.Errorf("meta %+v says another time or cluster than the machine", kept)
	}
	type counts struct{ sessions, users, events, idempotencies, created uint64 }
	got := counts{kept.sessions, kept.users, kept.events, kept.idempotencies, kept.created}
	want := counts{c.sessions, uint64(len(c.live)), c.events, c.idempotencies, kept.sessions + kept.revoked + kept.expired}
	if got != want {
		c.Errorf("meta counts %+v, the state holds %+v", got, want)
	}
	if c.created > kept.created {
		c.Errorf("%d events say created, and %d sessions were", c.created, kept.created)
	}
	if c.events > 0 && kept.eventFloor.Compare(c.oldest) > 0 {
		c.Errorf("the oldest event is %s, below the floor %s", c.oldest, kept.eventFloor)
	}
	if n := len(c.m.incarnations); uint64(n) != c.incarnations {
		c.Errorf("%d incarnations are in memory, %d in the table", n, c.incarnations)
	}
}

func (c *census) checkHash() {
	c.Helper()
	var sum uint64
	for key, value := range c.pairs {
		if key != string(metaHashKey) {
			sum += pairHash([]byte(key), value)
		}
	}
	index, hash, err := decodeHash(c.pairs[string(metaHashKey)])
	if err != nil || hash != sum {
		c.Errorf("the state hash is %x at %d, computed anew it is %x (%v)", hash, index, sum, err)
	}
	if i, h := c.m.Hash(); i != index || h != hash {
		c.Errorf("the machine says hash %x at %d, the table %x at %d", h, i, hash, index)
	}
}
