package fsm

import (
	"fmt"
	"math"
)

// restoreMode says what a restore does with the sessions of its archive.
type restoreMode uint8

// Modes, append-only.
const (
	restoreData restoreMode = 0 // of those that are alive: into a cluster that has had sessions
	restoreAll  restoreMode = 1 // inserts all: into one that has never had any
	restoreNone restoreMode = 2 // leaves them out: into one that has never had any
)

// restoreID is the beginning of an archive's SHA-256.
type restoreID [16]byte

type restoreBeginBody struct {
	ID   restoreID `cbor:"1,keyasint"`
	Mode uint8     `cbor:"2,keyasint"`
	// Size is about how many bytes a chunk has. It is kept, so that a restore that
	// is taken up again is cut into the same chunks.
	Size uint64 `cbor:"3,keyasint"`
}

type restoreChunkBody struct {
	ID     restoreID `cbor:"1,keyasint"`
	Number uint64    `cbor:"2,keyasint"` // 0, 1, 2 …
	Pairs  [][]byte  `cbor:"3,keyasint"` // key, value, key, value …, as the archive has them
}

type restoreEndBody struct {
	ID      restoreID `cbor:"1,keyasint"`
	Chunks  uint64    `cbor:"2,keyasint"` // how many there were
	Cluster uint64    `cbor:"3,keyasint"` // what indexes are of from now on
}

func (b *restoreChunkBody) append(dst []byte) []byte {
	w := writeFields(dst)
	w.bytes(1, b.ID[:])
	w.uintOrZero(2, b.Number)
	w.key(3)
	if b.Pairs == nil {
		w.buf = append(w.buf, majorSimple<<5|simpleNull)
		return w.end()
	}
	w.buf = appendHead(w.buf, majorArray, uint64(len(b.Pairs)))
	for _, p := range b.Pairs {
		w.buf = append(appendHead(w.buf, majorBytes, uint64(len(p))), p...)
	}
	return w.end()
}

func decodeRestoreBegin(raw []byte) (b restoreBeginBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.ID[:])
		case 2:
			b.Mode = r.octet()
		case 3:
			b.Size = r.uint()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeRestoreChunk(raw []byte) (b restoreChunkBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.ID[:])
		case 2:
			b.Number = r.uint()
		case 3:
			if !r.null() {
				b.Pairs = r.byteStrings()
			}
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeRestoreEnd(raw []byte) (b restoreEndBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.ID[:])
		case 2:
			b.Chunks = r.uint()
		case 3:
			b.Cluster = r.uint()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

// byteStrings reads an array of them. They are parts of the command.
func (r *fieldReader) byteStrings() [][]byte {
	all := make([][]byte, r.array())
	for i := range all {
		all[i] = r.bytes()
	}
	return all
}

// restoring is the last restore, as every node knows it: how far it is, or that
// it is done. A chunk takes effect once, whatever is retried and in whatever
// order the chunks of one window come.
type restoring struct {
	id      restoreID
	mode    restoreMode
	size    uint64
	low     uint64 // the chunks below it have been applied
	mask    uint64 // and of those from it on, the ones whose bit is set
	applied counts
	done    bool
	index   uint64 // of the entry that ended it
}

// counts are what a restore has done with the sessions of its archive.
type counts struct{ restored, dead, unchanged uint64 }

// restoreWindow is how far the chunks that were applied may lie apart.
const restoreWindow = 64

// has says whether a chunk has been applied; ok is false for one that is too far
// ahead to tell.
func (r *restoring) has(chunk uint64) (applied, ok bool) {
	switch {
	case chunk < r.low:
		return true, true
	case chunk-r.low >= restoreWindow:
		return false, false
	}
	return r.mask>>(chunk-r.low)&1 == 1, true
}

func (r *restoring) mark(chunk uint64) {
	r.mask |= 1 << (chunk - r.low)
	for r.mask&1 == 1 {
		r.mask >>= 1
		r.low++
	}
}

const (
	resID        = 1
	resMode      = 2
	resSize      = 3
	resLow       = 4
	resMask      = 5
	resRestored  = 6
	resDead      = 7
	resUnchanged = 8
	resDone      = 9
	resIndex     = 10
)

func encodeRestoring(r *restoring) []byte {
	w := writeFields(make([]byte, 0, 64))
	w.bytes(resID, r.id[:])
	w.uint(resMode, uint64(r.mode))
	w.uint(resSize, r.size)
	w.uint(resLow, r.low)
	w.uint(resMask, r.mask)
	w.uint(resRestored, r.applied.restored)
	w.uint(resDead, r.applied.dead)
	w.uint(resUnchanged, r.applied.unchanged)
	w.bool(resDone, r.done)
	w.uint(resIndex, r.index)
	return w.end()
}

func decodeRestoring(raw []byte) (s restoring, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case resID:
			r.fixed(s.id[:])
		case resMode:
			s.mode = restoreMode(min(r.uint(), math.MaxUint8))
		case resSize:
			s.size = r.uint()
		case resLow:
			s.low = r.uint()
		case resMask:
			s.mask = r.uint()
		case resRestored:
			s.applied.restored = r.uint()
		case resDead:
			s.applied.dead = r.uint()
		case resUnchanged:
			s.applied.unchanged = r.uint()
		case resDone:
			s.done = r.bool()
		case resIndex:
			s.index = r.uint()
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return restoring{}, fmt.Errorf("restore: %w", err)
	}
	return s, nil
}
