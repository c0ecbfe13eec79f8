package fsm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// A command may be applied again when its first answer was lost, and must then
// change nothing. Each proposing service is an incarnation that numbers its
// commands; the machine keeps the outcomes of those that the service may still
// wait for.
const (
	// incarnationKept is how long an incarnation is remembered after its last
	// command, by the log's clock.
	incarnationKept = 10 * time.Minute
	// commandLifetime is how long after it was first proposed a command may still
	// take effect. It must be the shorter: a late repetition finds its
	// incarnation, or is refused.
	commandLifetime = 5 * time.Minute
	// maxOutstanding bounds the outcomes kept of one incarnation.
	maxOutstanding = 8192
)

// incarnation is what the machine knows of one proposing service.
type incarnation struct {
	lowest   uint64 // below it nobody waits any more
	lastSeen session.Time
	outcomes []numbered // ascending
	stored   []byte     // as in the table; nil if it is not there
	dirty    bool
}

type numbered struct {
	sequence uint64
	outcome
}

// known answers a command that needs no more doing: one that is repeated, one
// that nobody waits for, and one that is too old to tell. Those two are answered
// with outcome_unknown: an earlier attempt may have taken effect.
func (e *entry) known(env *envelope) (reply, bool) {
	request := env.Request
	if request.Sequence < request.Lowest || request.Lowest == 0 {
		panic(fmt.Sprintf("fsm: entry %d: request %d is below its own lowest, %d", e.index, request.Sequence, request.Lowest))
	}
	inc := e.m.incarnations[request.Incarnation]
	if inc == nil {
		inc = &incarnation{}
		e.m.incarnations[request.Incarnation] = inc
	}
	inc.dirty, inc.lastSeen = true, e.now
	inc.rise(request.Lowest)
	at, found := inc.find(request.Sequence)
	switch {
	case found:
		return reply{outcome: inc.outcomes[at].outcome}, true
	case request.Sequence < inc.lowest:
		return refuse(codeOutcomeUnknown), true
	case e.now.Sub(env.ProposedAt) > commandLifetime:
		return refuse(codeOutcomeUnknown), true
	case request.Sequence >= inc.lowest+maxOutstanding:
		return refuse(codeOverloaded), true
	}
	return reply{}, false
}

// remember keeps the outcome of a command that known has let pass.
func (e *entry) remember(request *requestID, o outcome) {
	inc := e.m.incarnations[request.Incarnation]
	at, _ := inc.find(request.Sequence)
	inc.outcomes = slices.Insert(inc.outcomes, at, numbered{request.Sequence, o})
}

func (inc *incarnation) find(sequence uint64) (at int, found bool) {
	// Nearly all come in order.
	if n := len(inc.outcomes); n == 0 || inc.outcomes[n-1].sequence < sequence {
		return n, false
	}
	return slices.BinarySearchFunc(inc.outcomes, sequence, func(n numbered, s uint64) int {
		switch {
		case n.sequence < s:
			return -1
		case n.sequence > s:
			return 1
		}
		return 0
	})
}

func (inc *incarnation) rise(lowest uint64) {
	if lowest <= inc.lowest {
		return
	}
	inc.lowest = lowest
	at, _ := inc.find(lowest)
	inc.outcomes = slices.Delete(inc.outcomes, 0, at)
}

// keepIncarnations writes those that the entry has changed.
func (e *entry) keepIncarnations() {
	for _, id := range slices.Sorted(maps.Keys(e.m.incarnations)) {
		inc := e.m.incarnations[id]
		if !inc.dirty {
			continue
		}
		raw := inc.encode()
		if inc.stored == nil {
			e.insert(incarnationKey(id), raw)
		} else {
			e.replace(incarnationKey(id), inc.stored, raw)
		}
		inc.stored, inc.dirty = raw, false
	}
}

// forgetIncarnations drops those that nothing was heard of for long.
func (e *entry) forgetIncarnations() {
	for _, id := range slices.Sorted(maps.Keys(e.m.incarnations)) {
		inc := e.m.incarnations[id]
		if inc.dirty || e.now.Sub(inc.lastSeen) <= incarnationKept {
			continue
		}
		e.remove(incarnationKey(id), inc.stored)
		delete(e.m.incarnations, id)
	}
}

const (
	incLowest   = 1
	incLastSeen = 2
	incOutcomes = 3 // one flat array of outcomeItems for each outcome

	outcomeItems = 6 // sequence, code, id (empty if none), version, index, count
)

func (inc *incarnation) encode() []byte {
	w := writeFields(make([]byte, 0, 32+40*len(inc.outcomes)))
	w.uint(incLowest, inc.lowest)
	w.int(incLastSeen, int64(inc.lastSeen))
	w.key(incOutcomes)
	w.buf = appendHead(w.buf, majorArray, uint64(outcomeItems*len(inc.outcomes)))
	for i := range inc.outcomes {
		o := &inc.outcomes[i]
		w.buf = appendHead(w.buf, majorUint, o.sequence)
		w.buf = appendHead(w.buf, majorUint, uint64(o.code))
		if o.id.IsZero() {
			w.buf = appendHead(w.buf, majorBytes, 0)
		} else {
			w.buf = append(appendHead(w.buf, majorBytes, uint64(idLen)), o.id[:]...)
		}
		w.buf = appendHead(w.buf, majorUint, o.version)
		w.buf = appendHead(w.buf, majorUint, o.index)
		w.buf = appendHead(w.buf, majorUint, o.count)
	}
	return w.end()
}

func decodeIncarnation(raw []byte) (*incarnation, error) {
	inc := &incarnation{stored: raw}
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case incLowest:
			inc.lowest = r.uint()
		case incLastSeen:
			inc.lastSeen = session.Time(r.int())
		case incOutcomes:
			inc.decodeOutcomes(&r)
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("incarnation: %w", err)
	}
	return inc, nil
}

func (inc *incarnation) decodeOutcomes(r *fieldReader) {
	major, n := r.head()
	if major != majorArray || n%outcomeItems != 0 || n > outcomeItems*maxOutstanding {
		r.bad = true
		return
	}
	for range n / outcomeItems {
		var o numbered
		o.sequence = r.uint()
		o.code = code(min(r.uint(), 255))
		if id := r.bytes(); len(id) == idLen {
			o.id = session.ID(id)
		} else {
			r.bad = r.bad || len(id) != 0
		}
		o.version, o.index, o.count = r.uint(), r.uint(), r.uint()
		if k := len(inc.outcomes); r.bad || (k > 0 && inc.outcomes[k-1].sequence >= o.sequence) {
			r.bad = true
			return
		}
		inc.outcomes = append(inc.outcomes, o)
	}
}

func parseIncarnation(key, value []byte) (id uint64, inc *incarnation, err error) {
	if len(key) != len(incarnationKey(0)) {
		return 0, nil, fmt.Errorf("incarnation: the key %x: %w", key, errMalformed)
	}
	inc, err = decodeIncarnation(value)
	return binary.BigEndian.Uint64(key[1:]), inc, err
}

func loadIncarnations(table *storage.Table) (map[uint64]*incarnation, error) {
	incarnations := make(map[uint64]*incarnation)
	prefix := []byte{prefixIncarnation}
	var fault error
	err := table.Scan(prefix, after(prefix), func(key, value []byte) bool {
		var id uint64
		var inc *incarnation
		if id, inc, fault = parseIncarnation(key, slices.Clone(value)); fault != nil {
			return false
		}
		incarnations[id] = inc
		return true
	})
	if err == nil {
		err = fault
	}
	return incarnations, err
}
