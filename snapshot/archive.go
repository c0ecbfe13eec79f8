package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the version of the archives that this release writes.
const Version = 1

// Limits, in bytes. A reader refuses an archive that breaks one.
const (
	MaxHeaderBytes = 1 << 20
	MaxKeyBytes    = 4 << 10
	MaxValueBytes  = 4 << 20
	windowBytes    = 1 << 20 // of zstd: bounds a reader's memory
)

// ErrDamaged is in the chain of the error for an archive that is cut short,
// changed or followed by something else.
var ErrDamaged = errors.New("the archive is damaged")

// ErrNewer is in the chain of the error for an archive of a later version.
var ErrNewer = errors.New("the archive was written by a later release")

// ErrForeign is in the chain of the error for what is no archive at all.
var ErrForeign = errors.New("this is not a Holdfast archive")

// Kind says what an archive is for.
type Kind uint8

// Kinds, append-only.
const (
	Member Kind = 1 + iota // exchanged between the members of a cluster
	Saved                  // kept by an operator: holds no sealed successor tokens, and only what a restore needs
)

// String names a kind for people.
func (k Kind) String() string {
	switch k {
	case Member:
		return "member"
	case Saved:
		return "saved"
	}
	return fmt.Sprintf("unknown (%d)", uint8(k))
}

// Header says which state an archive holds.
type Header struct {
	Cluster            uint64
	Index              uint64
	Term               uint64
	Stamp              int64 // the log's clock, milliseconds since the Unix epoch
	ConfigurationIndex uint64
	Configuration      []byte // opaque
	Hash               uint64 // of the state
	Kind               Kind
}

const (
	magic         = "HOLDFAST"
	preambleBytes = len(magic) + 2 + 4
	fixedBytes    = 6*8 + 1
)

func (h Header) encode() ([]byte, error) {
	size := fixedBytes + len(h.Configuration)
	if size > MaxHeaderBytes {
		return nil, fmt.Errorf("the header is %d bytes long; the limit is %d", size, MaxHeaderBytes)
	}
	b := binary.BigEndian.AppendUint16([]byte(magic), Version)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	for _, n := range []uint64{h.Cluster, h.Index, h.Term, uint64(h.Stamp), h.ConfigurationIndex, h.Hash} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(append(b, byte(h.Kind)), h.Configuration...), nil
}

// headerSize checks the preamble and returns the length of what follows it.
func headerSize(preamble []byte) (int, error) {
	if string(preamble[:len(magic)]) != magic {
		return 0, ErrForeign
	}
	switch v := binary.BigEndian.Uint16(preamble[len(magic):]); {
	case v > Version:
		return 0, fmt.Errorf("version %d: %w", v, ErrNewer)
	case v == 0:
		return 0, ErrDamaged
	}
	size := binary.BigEndian.Uint32(preamble[len(magic)+2:])
	if size < fixedBytes || size > MaxHeaderBytes {
		return 0, fmt.Errorf("a header of %d bytes: %w", size, ErrDamaged)
	}
	return int(size), nil
}

func decodeHeader(b []byte) Header {
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[i*8:]) }
	h := Header{
		Cluster: n(0), Index: n(1), Term: n(2), Stamp: int64(n(3)), ConfigurationIndex: n(4), Hash: n(5),
		Kind: Kind(b[fixedBytes-1]),
	}
	if len(b) > fixedBytes {
		h.Configuration = b[fixedBytes:]
	}
	return h
}
