package storage

import "bytes"

const (
	maxHeight = 16 // one node in four is a level higher: good for 4^16 keys
	// nodeBytes is what a key costs beside its bytes, for the bound in memory: a
	// hundred here, and a share of the page that it changes when it is flushed.
	nodeBytes = 256
)

// memtable is an ordered map, a skip list (Pugh, 1990). Its owner holds a lock
// around every call; a key once in is never taken out, a delete is a tombstone.
type memtable struct {
	head   *memnode
	height int // of the highest node
	bytes  int64
	len    int
	seed   uint64

	// Nodes come by the slab: they all die together, with the memtable.
	nodes []memnode
	links []*memnode
}

type memnode struct {
	key     []byte
	value   []byte
	deleted bool
	next    []*memnode
}

const slab = 128 // nodes

func newMemtable() *memtable {
	return &memtable{head: &memnode{next: make([]*memnode, maxHeight)}, height: 1, seed: 0x9e3779b97f4a7c15}
}

// apply puts writes, which are in the order of their keys, and of two of one key
// the later counts. It keeps their memory. Each search begins where the last one
// ended: readers wait meanwhile, and to begin at the head took three times as long.
func (m *memtable) apply(writes []write) {
	var before [maxHeight]*memnode // on each level, the last node before the key
	for level := range before {
		before[level] = m.head
	}
	for _, w := range writes {
		m.advance(&before, w.key)
		m.put(&before, w)
	}
}

// advance moves before to key, which is not before the last one: up as far as
// there is something to pass over, and down again.
func (m *memtable) advance(before *[maxHeight]*memnode, key []byte) {
	level := 0
	for level < m.height && before[level].isFollowed(level, key) {
		level++
	}
	if level == 0 {
		return
	}
	n := before[level-1]
	for level--; level >= 0; level-- {
		for n.isFollowed(level, key) {
			n = n.next[level]
		}
		before[level] = n
	}
}

// isFollowed says whether the next node on the level lies before key.
func (n *memnode) isFollowed(level int, key []byte) bool {
	next := n.next[level]
	return next != nil && bytes.Compare(next.key, key) < 0
}

func (m *memtable) put(before *[maxHeight]*memnode, w write) {
	if at := before[0].next[0]; at != nil && bytes.Equal(at.key, w.key) {
		m.bytes += int64(len(w.value) - len(at.value))
		at.value, at.deleted = w.value, w.deleted
		return
	}
	n := m.node(m.draw())
	n.key, n.value, n.deleted = w.key, w.value, w.deleted
	for level := range n.next {
		n.next[level] = before[level].next[level]
		before[level].next[level] = n
	}
	m.height = max(m.height, len(n.next))
	m.len++
	m.bytes += int64(len(w.key) + len(w.value) + nodeBytes)
}

// node takes a node of a height from the slabs.
func (m *memtable) node(height int) *memnode {
	if len(m.nodes) == 0 {
		m.nodes = make([]memnode, slab)
	}
	if len(m.links) < height {
		m.links = make([]*memnode, slab+maxHeight)
	}
	n := &m.nodes[0]
	m.nodes = m.nodes[1:]
	n.next = m.links[:height:height]
	m.links = m.links[height:]
	return n
}

// draw draws a node's height by xorshift: chance is needed, secrecy is not.
func (m *memtable) draw() int {
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
	for level := m.height - 1; level >= 0; level-- {
		for n.isFollowed(level, key) {
			n = n.next[level]
		}
	}
	return n.next[0]
}
