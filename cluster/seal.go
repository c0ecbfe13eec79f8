package cluster

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"github.com/hashicorp/raft"
)

// The log's file keeps with each entry, in the field that Raft leaves to whoever
// stands between it and the file, 1 byte sealVersion and a CRC-32C of index, term,
// type and data. An entry of ours carries a checksum by itself; the entries of Raft,
// which say who is a member, do not. Nobody but the file sees the seal: it is put on
// at the write and taken off at the read. An entry without one was written by an
// older release.
const (
	sealVersion = 1
	sealBytes   = 5
)

func logSum(l *raft.Log) uint32 {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	return crc32.Update(crc32.Checksum(head[:], crcTable), crcTable, l.Data)
}

// sealLogs returns copies with a seal.
func sealLogs(logs []*raft.Log) []*raft.Log {
	sealed := make([]*raft.Log, len(logs))
	copies := make([]raft.Log, len(logs))
	for i, l := range logs {
		copies[i] = *l
		copies[i].Extensions = binary.BigEndian.AppendUint32([]byte{sealVersion}, logSum(l))
		sealed[i] = &copies[i]
	}
	return sealed
}

// unsealLog checks what was read as the entry of index, and takes the seal off.
func unsealLog(index uint64, l *raft.Log) error {
	seal := l.Extensions
	l.Extensions = nil
	switch {
	case l.Index != index:
		return fmt.Errorf("%w: entry %d says that it is entry %d", ErrCorrupt, index, l.Index)
	case len(seal) == sealBytes && seal[0] == sealVersion && binary.BigEndian.Uint32(seal[1:]) != logSum(l):
		return fmt.Errorf("%w: entry %d: checksum does not match", ErrCorrupt, index)
	case len(seal) != 0 && len(seal) != sealBytes:
		return fmt.Errorf("%w: entry %d: a seal of %d bytes", ErrCorrupt, index, len(seal))
	case l.Type == raft.LogCommand:
		if err := checkEntry(l.Data); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
		}
	case l.Type == raft.LogConfiguration:
		if _, err := decodeConfiguration(l.Data); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
		}
	case l.Type != raft.LogNoop && l.Type != raft.LogBarrier:
		return fmt.Errorf("%w: entry %d is of type %d", ErrCorrupt, index, l.Type)
	}
	return nil
}

// sound calls f and turns what bbolt does with a damaged file into an error: it
// panics at what it cannot follow, and the memory faults where a page cannot be
// read in.
func sound(f func() error) (err error) {
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: raft.db cannot be followed: %v", ErrCorrupt, r)
		}
	}()
	return f()
}
