package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func logsOf(first uint64, sizes ...int) []*raft.Log {
	var logs []*raft.Log
	for i, size := range sizes {
		logs = append(logs, &raft.Log{Index: first + uint64(i), Data: make([]byte, size)})
	}
	return logs
}

// The cache must never answer for an entry that the log does not hold, nor with
// another one than the log's.
func TestTheLogCacheAgreesWithTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newLogCache(rapid.Int64Range(100, 2000).Draw(t, "limit"))
		model := make(map[uint64]*raft.Log)
		first, last := uint64(1), uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				logs := logsOf(last+1, rapid.SliceOfN(rapid.IntRange(0, 300), 1, 5).Draw(t, "sizes")...)
				c.add(logs)
				for _, l := range logs {
					model[l.Index] = l
				}
				last += uint64(len(logs))
			case 2: // compaction
				if first <= last {
					to := rapid.Uint64Range(first, last).Draw(t, "to")
					c.remove(first, to)
					for ; first <= to; first++ {
						delete(model, first)
					}
				}
			case 3: // truncation
				if first <= last {
					from := rapid.Uint64Range(first, last).Draw(t, "from")
					c.remove(from, last)
					for i := from; i <= last; i++ {
						delete(model, i)
					}
					last = from - 1
				}
			}
			var bytes int64
			for i := range last + 3 {
				var got raft.Log
				if !c.get(i, &got) {
					continue
				}
				want, ok := model[i]
				if !ok || got.Index != i || len(got.Data) != len(want.Data) {
					t.Fatalf("entry %d: %+v, the log has %+v", i, got, want)
				}
				bytes += entrySize(want)
			}
			if bytes != c.bytes {
				t.Fatalf("%d bytes are counted, %d are there", c.bytes, bytes)
			}
			if bytes > c.limit && len(c.entries) > 1 {
				t.Fatalf("%d bytes in %d entries", bytes, len(c.entries))
			}
		}
	})
}

func TestTheTailIsBoundedInBytes(t *testing.T) {
	c := newLogCache(1 << 30)
	c.add(logsOf(1, 936, 936, 936, 936, 936)) // 1000 bytes each
	for _, want := range []struct {
		limit int64
		most  int
		n     int
	}{
		{2500, 100, 2}, {3000, 100, 3}, {1 << 20, 100, 5}, {1 << 20, 4, 4}, {10, 100, 0},
	} {
		if got := c.tail(want.limit, want.most); got != want.n {
			t.Errorf("%d bytes, %d entries: %d, want %d", want.limit, want.most, got, want.n)
		}
	}
}
