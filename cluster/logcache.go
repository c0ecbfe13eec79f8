package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// sizeHistory is of how many entries the log cache remembers the size.
const sizeHistory = 16384

// logCache keeps the newest entries of the log, within a bound in bytes:
// replication, commit and Apply read what was appended a moment ago. The
// library's own cache is bounded in entries, of which ours are up to 128 KiB,
// and forgets everything at each compaction.
//
// It holds one unbroken run of indexes, low to high; low > high when empty.
type logCache struct {
	limit int64

	mu        sync.Mutex
	entries   map[uint64]*raft.Log
	low, high uint64
	bytes     int64

	appended int64 // bytes ever added
	sizes    [sizeHistory]uint32
}

func newLogCache(limit int64) *logCache {
	return &logCache{limit: limit, entries: make(map[uint64]*raft.Log), low: 1}
}

// entrySize counts what an entry costs beside its data.
func entrySize(l *raft.Log) int64 { return int64(len(l.Data)) + 64 }

func (c *logCache) get(index uint64, into *raft.Log) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.entries[index]
	if ok {
		*into = *l
	}
	return ok
}

func (c *logCache) add(logs []*raft.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		if l.Index != c.high+1 || len(c.entries) == 0 {
			c.reset(l.Index)
		}
		size := entrySize(l)
		c.entries[l.Index] = l
		c.high = l.Index
		c.bytes += size
		c.appended += size
		c.sizes[l.Index%sizeHistory] = uint32(size)
	}
	for c.bytes > c.limit && c.low < c.high {
		c.drop(c.low)
		c.low++
	}
}

func (c *logCache) reset(next uint64) {
	clear(c.entries)
	c.low, c.high, c.bytes = next, next-1, 0
}

func (c *logCache) drop(index uint64) {
	if l, ok := c.entries[index]; ok {
		c.bytes -= entrySize(l)
		delete(c.entries, index)
	}
}

// remove forgets from to to, both included. A hole in the middle is no case of
// Raft's; it empties the cache.
func (c *logCache) remove(from, to uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.entries) == 0 || to < c.low || from > c.high:
	case from <= c.low && to < c.high:
		for ; c.low <= to; c.low++ {
			c.drop(c.low)
		}
	case from > c.low && to >= c.high:
		for ; c.high >= from; c.high-- {
			c.drop(c.high)
		}
	default:
		c.reset(to + 1)
	}
}

// written is how many bytes were ever added.
func (c *logCache) written() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.appended
}

// tail is how many of the newest entries fit into limit bytes, at most most.
// Entries that were appended before this process began count as the mean of the
// others.
func (c *logCache) tail(limit int64, most int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum int64
	n := 0
	for n < most && n < sizeHistory && uint64(n) < c.high {
		size := int64(c.sizes[(c.high-uint64(n))%sizeHistory])
		if size == 0 {
			size = max(256, sum/int64(max(n, 1)))
		}
		if sum += size; sum > limit {
			break
		}
		n++
	}
	return n
}
