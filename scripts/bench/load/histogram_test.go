package load

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestHistogramQuantilesAreWithinOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Exponents are drawn, so that every magnitude is as likely as any other.
		magnitude := rapid.Float64Range(0, 41)
		values := make([]uint64, rapid.IntRange(1, 300).Draw(t, "n"))
		parts := [2]histogram{}
		for i := range values {
			values[i] = uint64(math.Exp2(magnitude.Draw(t, "exponent")))
			parts[i%2].record(values[i])
		}
		var h histogram
		h.merge(&parts[0])
		h.merge(&parts[1])
		slices.Sort(values)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		want := values[min(max(int(math.Ceil(q*float64(len(values)))), 1), len(values))-1]
		got := h.quantile(q)
		if diff := math.Abs(float64(got) - float64(want)); diff > float64(want)/100 {
			t.Fatalf("quantile %v of %d values: %d instead of %d", q, len(values), got, want)
		}
		if h.quantile(1) != values[len(values)-1] && math.Abs(float64(h.quantile(1))/float64(values[len(values)-1])-1) > .01 {
			t.Fatalf("maximum %d instead of %d", h.quantile(1), values[len(values)-1])
		}
		if h.top != values[len(values)-1] || h.low != values[0] || h.n != uint64(len(values)) {
			t.Fatalf("%d values in %d..%d", h.n, h.low, h.top)
		}
	})
}

func TestHistogramBucketsAreContiguousAndHoldAnyValue(t *testing.T) {
	for bucket := range buckets {
		if got := bucketOf(middleOf(bucket)); got != bucket {
			t.Fatalf("the middle of bucket %d lies in %d", bucket, got)
		}
	}
	if bucketOf(math.MaxUint64) != buckets-1 || bucketOf(0) != 0 {
		t.Error("the ends are not held")
	}
	var h histogram
	h.record(math.MaxUint64)
	if h.quantile(.5) != math.MaxUint64 {
		t.Error("a value above all buckets is not known by its maximum")
	}
}

func TestTheLongestGapIsThatOfTheMilliseconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length = 500
		marks := rapid.SliceOfN(rapid.IntRange(0, length-1), 0, 20).Draw(t, "marks")
		from := rapid.IntRange(0, length-1).Draw(t, "from")
		to := rapid.IntRange(from, length-1).Draw(t, "to")
		p := newPulse(length * time.Millisecond)
		for _, ms := range marks {
			p.mark(time.Duration(ms)*time.Millisecond + 300*time.Microsecond)
		}
		slices.Sort(marks)
		want, previous := 0, from
		for _, ms := range append(marks, to) {
			if ms >= from && ms <= to {
				want, previous = max(want, ms-previous), ms
			}
		}
		got := p.longestGap(time.Duration(from)*time.Millisecond, time.Duration(to)*time.Millisecond)
		if got != time.Duration(want)*time.Millisecond {
			t.Fatalf("gap %v instead of %d ms", got, want)
		}
	})
}

func TestAMillionTokensFitInTheirMemory(t *testing.T) {
	if perToken := unsafe.Sizeof(chunk{}) / chunkTokens; perToken*1_000_000 > 150<<20 {
		t.Errorf("a token takes %d bytes", perToken)
	}
	tokens := testTokens(t, 2*chunkTokens+1)
	for _, i := range []int{0, chunkTokens - 1, chunkTokens, 2 * chunkTokens} {
		if tokens.At(i) != testToken(i) {
			t.Errorf("token %d is %q", i, tokens.At(i))
		}
	}
}

func TestTokensRefuseWhatIsNone(t *testing.T) {
	var tokens Tokens
	for _, s := range []string{"", "hfs_", strings.Repeat("x", tokenBytes), testToken(1) + "x"} {
		if tokens.Add(s) == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestTimesInAResultCarryTheirUnit(t *testing.T) {
	raw, err := json.Marshal(Result{Reads: &Class{}, Timeline: []Second{{}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"p50_us"`, `"p999_us"`, `"max_us"`, `"longest_gap_ms"`, `"slowest_error_ms"`, `"seconds"`, `"operations_per_second"`} {
		if !strings.Contains(string(raw), name) {
			t.Errorf("%s is not in %s", name, raw)
		}
	}
}
