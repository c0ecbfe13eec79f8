package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfastdb/holdfast/storage"
)

// stage gathers what one log entry writes. Commands of the entry read through
// it, and readers elsewhere see all of the entry or nothing.
//
// It also keeps the state hash: a writer says what was there before, so that
// nothing is looked up twice. Insert is for keys that cannot be there. Keys and
// values are given away: they must not be changed afterwards.
type stage struct {
	table   *storage.Table
	pending []write        // in the order in which their keys came
	at      map[string]int // where in pending a key stands
	hash    uint64
}

type write struct {
	key     []byte
	value   []byte // immutable
	deleted bool
}

// writesOfCommand is about how many keys one command writes.
const writesOfCommand = 6

func newStage(table *storage.Table, hash uint64, commands int) *stage {
	n := writesOfCommand * (commands + 1)
	return &stage{table: table, pending: make([]write, 0, n), at: make(map[string]int, n), hash: hash}
}

// get panics when the table cannot be read: a bad checksum must not spread.
func (s *stage) get(key []byte) ([]byte, bool) {
	if i, ok := s.at[string(key)]; ok {
		return s.pending[i].value, !s.pending[i].deleted
	}
	value, ok, err := s.table.Get(key)
	if err != nil {
		panic(fmt.Sprintf("fsm: read the table: %v", err))
	}
	return value, ok
}

func (s *stage) insert(key, value []byte) {
	s.hash += pairHash(key, value)
	s.set(write{key: key, value: value})
}

func (s *stage) replace(key, old, value []byte) {
	s.hash += pairHash(key, value) - pairHash(key, old)
	s.set(write{key: key, value: value})
}

func (s *stage) remove(key, old []byte) {
	s.hash -= pairHash(key, old)
	s.set(write{key: key, deleted: true})
}

// put writes a pair whose old value is not known.
func (s *stage) put(key, value []byte) {
	if old, ok := s.get(key); ok {
		s.replace(key, old, value)
		return
	}
	s.insert(key, value)
}

func (s *stage) set(w write) {
	if i, ok := s.at[string(w.key)]; ok {
		s.pending[i] = w
		return
	}
	s.at[string(w.key)] = len(s.pending)
	s.pending = append(s.pending, w)
}

type pair struct{ key, value []byte }

// scan returns at most limit pairs with from ≤ key < to in ascending order.
func (s *stage) scan(from, to []byte, limit int) []pair {
	var staged []*write
	for i := range s.pending {
		if w := &s.pending[i]; bytes.Compare(w.key, from) >= 0 && (to == nil || bytes.Compare(w.key, to) < 0) {
			staged = append(staged, w)
		}
	}
	slices.SortFunc(staged, func(a, b *write) int { return bytes.Compare(a.key, b.key) })
	var out []pair
	// add appends the staged pairs up to key (all, if nil), and says whether key
	// itself is staged.
	add := func(key []byte) (itself bool) {
		for len(staged) > 0 && (key == nil || bytes.Compare(staged[0].key, key) <= 0) {
			w := staged[0]
			if !w.deleted && len(out) < limit {
				out = append(out, pair{w.key, w.value})
			}
			itself = key != nil && bytes.Equal(w.key, key)
			staged = staged[1:]
		}
		return itself
	}
	err := s.table.Scan(from, to, func(key, value []byte) bool {
		if !add(key) && len(out) < limit {
			out = append(out, pair{slices.Clone(key), slices.Clone(value)})
		}
		return len(out) < limit
	})
	if err != nil {
		panic(fmt.Sprintf("fsm: scan the table: %v", err))
	}
	add(nil)
	return out
}

// commit writes all at once and leaves the stage empty.
func (s *stage) commit() {
	var batch storage.Batch
	for i := range s.pending {
		if w := &s.pending[i]; w.deleted {
			batch.Delete(w.key)
		} else {
			batch.Put(w.key, w.value)
		}
	}
	s.table.Write(&batch)
	clear(s.at)
	s.pending = nil
}

// pairHash is one pair's share of the state hash: xxHash64 of the key with its
// length before it, and the value. The state hash is the sum of all shares, so
// it does not depend on the order in which they came.
func pairHash(key, value []byte) uint64 {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(key)))
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(length[:])
	_, _ = d.Write(key)
	_, _ = d.Write(value)
	return d.Sum64()
}
