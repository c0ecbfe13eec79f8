package storage

import "bytes"

const (
	maxHeight = 16 // one node in four is a level higher: good for 4^16 keys
	// nodeBytes is what a key costs beside its bytes, for the bound in memory.
	nodeBytes = 96
)

// memtable is an ordered map, a skip list (Pugh, 1990). Its owner holds a lock
// around every call; a key once in is never taken out, a delete is a tombstone.
type memtable struct {
	head  *memnode
	bytes int64
	len   int
	seed  uint64
}

type memnode struct {
	key     []byte
	value   []byte
	deleted bool
	next    []*memnode
}

func newMemtable() *memtable {
	return &memtable{head: &memnode{next: make([]*memnode, maxHeight)}, seed: 0x9e3779b97f4a7c15}
}

// set keeps key and value as they are: the caller gives them away.
func (m *memtable) set(key, value []byte, deleted bool) {
	var before [maxHeight]*memnode
	n := m.head
	for level := maxHeight - 1; level >= 0; level-- {
		for n.next[level] != nil && bytes.Compare(n.next[level].key, key) < 0 {
			n = n.next[level]
		}
		before[level] = n
	}
	if at := before[0].next[0]; at != nil && bytes.Equal(at.key, key) {
		m.bytes += int64(len(value) - len(at.value))
		at.value, at.deleted = value, deleted
		return
	}
	added := &memnode{key: key, value: value, deleted: deleted, next: make([]*memnode, m.height())}
	for level := range added.next {
		added.next[level] = before[level].next[level]
		before[level].next[level] = added
	}
	m.len++
	m.bytes += int64(len(key) + len(value) + nodeBytes)
}

// height draws a node's height by xorshift: chance is needed, secrecy is not.
func (m *memtable) height() int {
	m.seed ^= m.seed << 13
	m.seed ^= m.seed >> 7
	m.seed ^= m.seed << 17
	h := 1
	for x := m.seed; x&3 == 0 && h < maxHeight; x >>= 2 {
		h++
	}
	return h
}

// get returns the node of key, or nil; a tombstone is a node.
func (m *memtable) get(key []byte) *memnode {
	if n := m.seek(key); n != nil && bytes.Equal(n.key, key) {
		return n
	}
	return nil
}

// seek returns the first node at or after key, or nil.
func (m *memtable) seek(key []byte) *memnode {
	n := m.head
	for level := maxHeight - 1; level >= 0; level-- {
		for n.next[level] != nil && bytes.Compare(n.next[level].key, key) < 0 {
			n = n.next[level]
		}
	}
	return n.next[0]
}
