package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A pulse remembers in which milliseconds of a run at least one request succeeded, over all clients: one bit each. The
// clients share it, and write to it at most once a millisecond; mostly they only read a line that all of them have cached.
type pulse struct{ words []atomic.Uint64 }

func newPulse(length time.Duration) *pulse {
	return &pulse{words: make([]atomic.Uint64, length.Milliseconds()/64+1)}
}

// mark notes a success at this time since the run's start.
func (p *pulse) mark(at time.Duration) {
	ms := int(at / time.Millisecond)
	word := min(ms/64, len(p.words)-1)
	if bit := uint64(1) << (ms % 64); p.words[word].Load()&bit == 0 {
		p.words[word].Or(bit)
	}
}

// longestGap is the longest time without a success between from and to, the edges included, to the millisecond.
func (p *pulse) longestGap(from, to time.Duration) time.Duration {
	first, last := int(from/time.Millisecond), int(to/time.Millisecond)
	longest, previous := 0, first
	for w := first / 64; w <= last/64 && w < len(p.words); w++ {
		for set := p.words[w].Load(); set != 0; set &= set - 1 {
			ms := w*64 + bits.TrailingZeros64(set)
			if ms < first || ms > last {
				continue
			}
			longest, previous = max(longest, ms-previous), ms
		}
	}
	return time.Duration(max(longest, last-previous)) * time.Millisecond
}
