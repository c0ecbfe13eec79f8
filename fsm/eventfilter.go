package fsm

import (
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfastdb/holdfast/session"
)

// Events lie in blocks of so many indexes of the log. Of a block that was read
// from end to end, and can get no more events, a filter is kept: who asks for the
// events of one user need not read everybody's. An index in the table would cost
// every write a page; this costs the first who asks.
const blockIndexes = 1 << 10

// The filters that are kept have a bound, in number and in bytes: about two bytes
// for each event.
const (
	maxFilters     = 1 << 14
	maxFilterBytes = 16 << 20
)

func blockOf(id session.EventID) uint64 { return id.Index / blockIndexes }

func blockStart(block uint64) session.EventID { return session.EventID{Index: block * blockIndexes} }

// A trait is what an event can be found by. The two kinds never share a hash but
// by chance, which costs a block read in vain.
func traitOfUser(user string) uint64 { return xxhash.Sum64String("u" + user) }

func traitOfSession(id session.ID) uint64 { return xxhash.Sum64(append([]byte{'s'}, id[:]...)) }

// eventFilters keeps the filters of one node. All its methods may be called from
// any goroutine.
type eventFilters struct {
	mu      sync.Mutex // guards the rest; a filter never changes
	ofBlock map[uint64]eventFilter
	bytes   int
}

// denies says that no event of the block has the trait.
func (f *eventFilters) denies(block, trait uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	filter, known := f.ofBlock[block]
	return known && !filter.has(trait)
}

func (f *eventFilters) keep(block uint64, filter eventFilter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ofBlock == nil {
		f.ofBlock = make(map[uint64]eventFilter)
	}
	f.bytes += len(filter) - len(f.ofBlock[block])
	f.ofBlock[block] = filter
	for old, gone := range f.ofBlock {
		if len(f.ofBlock) <= maxFilters && f.bytes <= maxFilterBytes {
			break
		}
		f.bytes -= len(gone)
		delete(f.ofBlock, old) // whichever comes: it is built again when it is missed
	}
}

// eventFilter is a Bloom filter of traits (Bloom, CACM 13(7), 1970): ten bits a
// trait and four probes, about one answer in eighty is a vain yes.
type eventFilter []byte

const (
	filterBits   = 10
	filterProbes = 4
)

func newEventFilter(traits map[uint64]struct{}) eventFilter {
	f := make(eventFilter, len(traits)*filterBits/8+1)
	for trait := range traits {
		for i := range uint64(filterProbes) {
			at, bit := f.place(trait, i)
			f[at] |= bit
		}
	}
	return f
}

func (f eventFilter) has(trait uint64) bool {
	for i := range uint64(filterProbes) {
		if at, bit := f.place(trait, i); f[at]&bit == 0 {
			return false
		}
	}
	return true
}

// place is where the i-th probe of a trait looks (Kirsch and Mitzenmacher, ESA
// 2006: two halves of one hash do for all probes).
func (f eventFilter) place(trait, i uint64) (at uint64, bit byte) {
	n := (trait&0xffffffff + i*(trait>>32|1)) % (uint64(len(f)) * 8)
	return n / 8, 1 << (n % 8)
}
