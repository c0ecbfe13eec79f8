package fsm

import (
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
	pending map[string]write
	order   [][]byte // the keys of pending as they came: map order must not leak
	hash    uint64
}

type write struct {
	value   []byte // immutable
	deleted bool
}

func newStage(table *storage.Table, hash uint64) *stage {
	return &stage{table: table, pending: make(map[string]write), hash: hash}
}

// get panics when the table cannot be read: a bad checksum must not spread.
func (s *stage) get(key []byte) ([]byte, bool) {
	if w, ok := s.pending[string(key)]; ok {
		return w.value, !w.deleted
	}
	value, ok, err := s.table.Get(key)
	if err != nil {
		panic(fmt.Sprintf("fsm: read the table: %v", err))
	}
	return value, ok
}

func (s *stage) insert(key, value []byte) {
	s.hash += pairHash(key, value)
	s.set(key, write{value: value})
}

func (s *stage) replace(key, old, value []byte) {
	s.hash += pairHash(key, value) - pairHash(key, old)
	s.set(key, write{value: value})
}

func (s *stage) remove(key, old []byte) {
	s.hash -= pairHash(key, old)
	s.set(key, write{deleted: true})
}

// put writes a pair whose old value is not known.
func (s *stage) put(key, value []byte) {
	if old, ok := s.get(key); ok {
		s.replace(key, old, value)
		return
	}
	s.insert(key, value)
}

func (s *stage) set(key []byte, w write) {
	if _, ok := s.pending[string(key)]; !ok {
		s.order = append(s.order, key)
	}
	s.pending[string(key)] = w
}

type pair struct{ key, value []byte }

// scan returns at most limit pairs with from ≤ key < to in ascending order.
func (s *stage) scan(from, to []byte, limit int) []pair {
	staged := make([]string, 0, 8)
	for key := range s.pending {
		if key >= string(from) && (to == nil || key < string(to)) {
			staged = append(staged, key)
		}
	}
	slices.Sort(staged)
	var out []pair
	// add appends the staged pairs before key (all, if nil), and says whether
	// key itself is staged.
	add := func(key []byte) (itself bool) {
		for len(staged) > 0 && (key == nil || staged[0] <= string(key)) {
			if w := s.pending[staged[0]]; !w.deleted && len(out) < limit {
				out = append(out, pair{[]byte(staged[0]), w.value})
			}
			itself = key != nil && staged[0] == string(key)
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
	for _, key := range s.order {
		if w := s.pending[string(key)]; w.deleted {
			batch.Delete(key)
		} else {
			batch.Put(key, w.value)
		}
	}
	s.table.Write(&batch)
	clear(s.pending)
	s.order = nil
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
