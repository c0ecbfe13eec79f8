package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A log entry of ours, the Data of a raft.LogCommand, big endian:
//
//	offset 0  version      1 byte, entryVersion
//	       1  kind         1 byte, opening or batch
//	       2  crc          4 bytes, CRC-32C of every byte but these four
//	       6  stamp        8 bytes, log's clock, milliseconds since 1970
//	      14  opening: cluster id, 8 bytes
//	          batch:   count, uvarint; then for each command its length,
//	                   uvarint, and its bytes
//
// The checksum is here because neither raft-boltdb nor bbolt notices a flipped
// bit. Old versions keep their meaning for ever.
const (
	entryVersion    = 1
	entryHeaderSize = 14
	openingSize     = entryHeaderSize + 8
)

type entryKind byte

const (
	// kindOpening is the first entry of ours in a term.
	kindOpening entryKind = 1
	// kindBatch carries commands for the machine.
	kindBatch entryKind = 2
)

const (
	// maxBatchCommands and maxBatchBytes bound what the batcher packs into one
	// entry. A single command may be larger than maxBatchBytes: it travels alone.
	maxBatchCommands = 512
	maxBatchBytes    = 128 << 10

	// MaxCommandBytes is the largest command that Propose takes.
	MaxCommandBytes = 1 << 20
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

var (
	errEntryCorrupt = errors.New("log entry is corrupt")
	errEntryVersion = errors.New("log entry is of a newer version")
)

// entry is a decoded log entry. Commands alias the bytes they came from.
type entry struct {
	kind     entryKind
	stamp    int64
	cluster  uint64   // opening
	commands [][]byte // batch
}

func entryCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:2], crcTable), crcTable, b[6:])
}

func putEntryHeader(b []byte, kind entryKind, stamp int64) {
	b[0], b[1] = entryVersion, byte(kind)
	binary.BigEndian.PutUint64(b[6:], uint64(stamp))
}

func sealEntry(b []byte) []byte {
	binary.BigEndian.PutUint32(b[2:], entryCRC(b))
	return b
}

func encodeOpening(stamp int64, cluster uint64) []byte {
	b := make([]byte, openingSize)
	putEntryHeader(b, kindOpening, stamp)
	binary.BigEndian.PutUint64(b[entryHeaderSize:], cluster)
	return sealEntry(b)
}

// encodeBatch copies the commands: their owners may reuse them afterwards.
func encodeBatch(stamp int64, commands [][]byte) []byte {
	size := entryHeaderSize + binary.MaxVarintLen32
	for _, c := range commands {
		size += binary.MaxVarintLen32 + len(c)
	}
	b := make([]byte, entryHeaderSize, size)
	putEntryHeader(b, kindBatch, stamp)
	return sealEntry(appendCommands(b, commands))
}

func appendCommands(b []byte, commands [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(commands)))
	for _, c := range commands {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// checkEntry verifies the checksum alone. It lets the log store refuse an entry
// that rotted on disk before it is sent to anybody.
func checkEntry(b []byte) error {
	if len(b) < entryHeaderSize {
		return fmt.Errorf("%w: %d bytes", errEntryCorrupt, len(b))
	}
	if binary.BigEndian.Uint32(b[2:]) != entryCRC(b) {
		return fmt.Errorf("%w: checksum does not match", errEntryCorrupt)
	}
	return nil
}

func decodeEntry(b []byte) (entry, error) {
	if err := checkEntry(b); err != nil {
		return entry{}, err
	}
	if b[0] != entryVersion {
		return entry{}, fmt.Errorf("%w: %d, this program knows %d", errEntryVersion, b[0], entryVersion)
	}
	e := entry{kind: entryKind(b[1]), stamp: int64(binary.BigEndian.Uint64(b[6:]))}
	switch e.kind {
	case kindOpening:
		if len(b) != openingSize {
			return entry{}, fmt.Errorf("%w: opening of %d bytes", errEntryCorrupt, len(b))
		}
		e.cluster = binary.BigEndian.Uint64(b[entryHeaderSize:])
		return e, nil
	case kindBatch:
		commands, err := decodeCommands(b[entryHeaderSize:])
		e.commands = commands
		return e, err
	default:
		return entry{}, fmt.Errorf("%w: kind %d", errEntryVersion, b[1])
	}
}

// decodeCommands takes all of b, or fails. The commands alias b.
func decodeCommands(b []byte) ([][]byte, error) {
	count, n := binary.Uvarint(b)
	// Each command takes at least one byte, which bounds what a length that
	// lies can make us allocate.
	if n <= 0 || count > uint64(len(b)-n) {
		return nil, fmt.Errorf("%w: count", errEntryCorrupt)
	}
	b = b[n:]
	commands := make([][]byte, 0, count)
	for range count {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, fmt.Errorf("%w: command length", errEntryCorrupt)
		}
		commands = append(commands, b[n:n+int(size):n+int(size)])
		b = b[n+int(size):]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes left over", errEntryCorrupt, len(b))
	}
	return commands, nil
}
