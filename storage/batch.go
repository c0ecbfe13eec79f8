package storage

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Batch gathers the writes of one command.
type Batch struct{ writes []write }

type write struct {
	key     []byte
	value   []byte
	nth     uint32 // in the batch
	deleted bool
}

// sort orders the writes by key, and those of one key as they came.
func (b *Batch) sort() {
	slices.SortFunc(b.writes, func(x, y write) int {
		if c := bytes.Compare(x.key, y.key); c != 0 {
			return c
		}
		return cmp.Compare(x.nth, y.nth)
	})
}

func (b *Batch) add(w write) {
	w.nth = uint32(len(b.writes))
	b.writes = append(b.writes, w)
}

// Put sets key to value. The batch keeps both: do not change them afterwards.
// It panics beyond MaxKeyBytes and MaxValueBytes: a command was let through
// that no node could store.
func (b *Batch) Put(key, value []byte) {
	if len(key) == 0 || len(key) > MaxKeyBytes || len(value) > MaxValueBytes {
		panic(fmt.Sprintf("storage: a pair of %d and %d bytes", len(key), len(value)))
	}
	b.add(write{key: key, value: value})
}

// Delete removes key, if it is there.
func (b *Batch) Delete(key []byte) {
	b.add(write{key: key, deleted: true})
}

// Len is the number of writes.
func (b *Batch) Len() int { return len(b.writes) }

// Reset empties the batch for another command.
func (b *Batch) Reset() {
	clear(b.writes)
	b.writes = b.writes[:0]
}
