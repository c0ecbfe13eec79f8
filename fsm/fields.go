package fsm

import (
	"errors"
	"math"
)

// Stored values and replies are CBOR maps (RFC 8949) with ascending integer
// keys, definite lengths and shortest heads: the deterministic encoding of its
// section 4.2. They are written and read here by hand, because a record is
// decoded on every GET: this takes a fifth of the time of a general decoder.
// Tests hold every byte against fxamacker/cbor.

// errMalformed is returned for bytes that are not such a map.
var errMalformed = errors.New("malformed value")

// CBOR major types.
const (
	majorUint   = 0
	majorNegint = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorSimple = 7
)

const (
	simpleTrue = 21
	// maxSkipDepth bounds the nesting of a field that a later release wrote.
	maxSkipDepth = 8
)

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch major <<= 5; {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return append(dst, major|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return append(dst, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, majorNegint, uint64(-(v + 1)))
	}
	return appendHead(dst, majorUint, uint64(v))
}

// fieldWriter writes one map. Keys must ascend; a field with its zero value is
// left out, which is what a reader finds for an absent one.
type fieldWriter struct {
	buf   []byte
	start int
	count int
}

// maxFields is how many fields the one byte that is kept for the map's head holds.
const maxFields = 23

func writeFields(buf []byte) fieldWriter {
	return fieldWriter{buf: append(buf, 0), start: len(buf)}
}

func (w *fieldWriter) key(key uint64) {
	w.count++
	w.buf = appendHead(w.buf, majorUint, key)
}

func (w *fieldWriter) uint(key, v uint64) {
	if v != 0 {
		w.key(key)
		w.buf = appendHead(w.buf, majorUint, v)
	}
}

func (w *fieldWriter) int(key uint64, v int64) {
	if v != 0 {
		w.key(key)
		w.buf = appendInt(w.buf, v)
	}
}

func (w *fieldWriter) bytes(key uint64, v []byte) {
	if len(v) != 0 {
		w.key(key)
		w.buf = append(appendHead(w.buf, majorBytes, uint64(len(v))), v...)
	}
}

func (w *fieldWriter) text(key uint64, v string) {
	if v != "" {
		w.key(key)
		w.buf = append(appendHead(w.buf, majorText, uint64(len(v))), v...)
	}
}

func (w *fieldWriter) bool(key uint64, v bool) {
	if v {
		w.key(key)
		w.buf = append(w.buf, majorSimple<<5|simpleTrue)
	}
}

// end returns the buffer with the whole map in it.
func (w *fieldWriter) end() []byte {
	if w.count > maxFields {
		panic("fsm: a value has more fields than its head can count")
	}
	w.buf[w.start] = majorMap<<5 | byte(w.count)
	return w.buf
}

// fieldReader reads one map. The first fault sticks; end reports it.
type fieldReader struct {
	raw  []byte
	left uint64 // fields not read yet
	last uint64 // the key before this one, plus one
	bad  bool
}

func readFields(raw []byte) fieldReader {
	r := fieldReader{raw: raw}
	major, n := r.head()
	r.left = n
	r.bad = r.bad || major != majorMap
	return r
}

// next moves to the next field and returns its key; ok is false at the end.
func (r *fieldReader) next() (key uint64, ok bool) {
	if r.bad || r.left == 0 {
		return 0, false
	}
	major, key := r.head()
	if major != majorUint || key < r.last || key == math.MaxUint64 {
		r.bad = true
	}
	r.left--
	r.last = key + 1
	return key, !r.bad
}

func (r *fieldReader) head() (major byte, n uint64) {
	if r.bad || len(r.raw) == 0 {
		r.bad = true
		return 0, 0
	}
	first := r.raw[0]
	r.raw = r.raw[1:]
	size := 0
	switch low := first & 31; {
	case low < 24:
		return first >> 5, uint64(low)
	case low < 28:
		size = 1 << (low - 24)
	}
	if size == 0 || len(r.raw) < size {
		r.bad = true
		return 0, 0
	}
	for _, b := range r.raw[:size] {
		n = n<<8 | uint64(b)
	}
	r.raw = r.raw[size:]
	// Shorter would have done: there is one spelling. Floats are not ours.
	if n < 24 || (size > 1 && n>>(4*size) == 0) || first>>5 == majorSimple {
		r.bad = true
	}
	return first >> 5, n
}

func (r *fieldReader) uint() uint64 {
	major, n := r.head()
	r.bad = r.bad || major != majorUint
	return n
}

func (r *fieldReader) int() int64 {
	major, n := r.head()
	if r.bad || major > majorNegint || n > math.MaxInt64 {
		r.bad = true
		return 0
	}
	if major == majorNegint {
		return -int64(n) - 1
	}
	return int64(n)
}

func (r *fieldReader) bool() bool {
	major, n := r.head()
	r.bad = r.bad || major != majorSimple || n != simpleTrue
	return !r.bad
}

// bytes returns a part of the value itself.
func (r *fieldReader) bytes() []byte { return r.string(majorBytes) }

func (r *fieldReader) text() string { return string(r.string(majorText)) }

// fixed fills dst and demands its very length.
func (r *fieldReader) fixed(dst []byte) {
	b := r.string(majorBytes)
	r.bad = r.bad || len(b) != len(dst)
	copy(dst, b)
}

func (r *fieldReader) string(want byte) []byte {
	major, n := r.head()
	if r.bad || major != want || n > uint64(len(r.raw)) {
		r.bad = true
		return nil
	}
	out := r.raw[:n:n]
	r.raw = r.raw[n:]
	return out
}

// skip passes over a field that this release does not know.
func (r *fieldReader) skip(depth int) {
	major, n := r.head()
	switch {
	case r.bad:
	case depth > maxSkipDepth:
		r.bad = true
	case major == majorBytes || major == majorText:
		if n > uint64(len(r.raw)) {
			r.bad = true
			return
		}
		r.raw = r.raw[n:]
	case major == majorArray || major == majorMap:
		if n > uint64(len(r.raw)) {
			r.bad = true
			return
		}
		for range n << (major - majorArray) {
			if r.skip(depth + 1); r.bad {
				return
			}
		}
	case major != majorUint && major != majorNegint && major != majorSimple:
		r.bad = true
	}
}

// end fails if anything was wrong, or follows the map.
func (r *fieldReader) end() error {
	if r.bad || r.left != 0 || len(r.raw) != 0 {
		return errMalformed
	}
	return nil
}
