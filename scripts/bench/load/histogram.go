package load

import (
	"math"
	"math/bits"
)

const (
	subBits  = 6                                        // each power of two is cut into 2^subBits buckets
	valueMax = 1<<42 - 1                                // ns, over an hour: longer waits fall into the last bucket
	buckets  = (42-subBits-1)<<subBits + 1<<(subBits+1) // bucketOf(valueMax) + 1
	exact    = 1 << (subBits + 1)                       // below this a bucket holds one value
)

// A histogram counts durations in nanoseconds in buckets whose width grows with the value, like HdrHistogram: what it
// answers is within 1/2^(subBits+1) = 0.8 % of a recorded value. The zero value is ready. It is owned by one goroutine.
type histogram struct {
	counts   [buckets]uint64
	n        uint64
	sum      float64
	low, top uint64 // the smallest and the greatest value, exact
}

func bucketOf(v uint64) int {
	v = min(v, valueMax)
	if v < exact {
		return int(v)
	}
	shift := bits.Len64(v) - (subBits + 1)
	return shift<<subBits + int(v>>shift)
}

// middleOf is the value in the middle of a bucket.
func middleOf(bucket int) uint64 {
	if bucket < exact {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return uint64(bucket-shift<<subBits)<<shift + 1<<shift/2
}

func (h *histogram) record(v uint64) {
	h.counts[bucketOf(v)]++
	if h.n == 0 || v < h.low {
		h.low = v
	}
	h.top = max(h.top, v)
	h.n++
	h.sum += float64(v)
}

func (h *histogram) merge(o *histogram) {
	if o == nil || o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.n == 0 || o.low < h.low {
		h.low = o.low
	}
	h.top = max(h.top, o.top)
	h.n += o.n
	h.sum += o.sum
}

// quantile answers the value below or at which a share q of all values lies, 0 if there are none.
func (h *histogram) quantile(q float64) uint64 {
	if h.n == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(h.n))), 1), h.n)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			if i == buckets-1 {
				break // holds everything above valueMax too: only the maximum is known
			}
			return min(max(middleOf(i), h.low), h.top)
		}
	}
	return h.top
}

// latency puts a histogram into a Result's form.
func (h *histogram) latency() Latency {
	us := func(ns uint64) float64 { return float64(ns) / 1e3 }
	l := Latency{P50: us(h.quantile(.5)), P99: us(h.quantile(.99)), P999: us(h.quantile(.999)), Max: us(h.top)}
	if h.n > 0 {
		l.Mean = h.sum / float64(h.n) / 1e3
	}
	return l
}
