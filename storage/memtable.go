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

// set keeps key and value as they are: the caller gives them away.
func (m *memtable) set(key, value []byte, deleted bool) {
	var before [maxHeight]*memnode
	n := m.head
	for level := m.height - 1; level >= 0; level-- {
		for next := n.next[level]; next != nil && bytes.Compare(next.key, key) < 0; next = n.next[level] {
			n = next
		}
		before[level] = n
	}
	if at := before[0].next[0]; at != nil && bytes.Equal(at.key, key) {
		m.bytes += int64(len(value) - len(at.value))
		at.value, at.deleted = value, deleted
		return
	}
	height := m.draw()
	for ; m.height < height; m.height++ {
		before[m.height] = m.head
	}
	added := m.node(height)
	added.key, added.value, added.deleted = key, value, deleted
	for level := range added.next {
		added.next[level] = before[level].next[level]
		before[level].next[level] = added
	}
	m.len++
	m.bytes += int64(len(key) + len(value) + nodeBytes)
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
		for next := n.next[level]; next != nil && bytes.Compare(next.key, key) < 0; next = n.next[level] {
			n = next
		}
	}
	return n.next[0]
}
