package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// What Raft keeps in the stable store.
var (
	keyCurrentTerm  = []byte("CurrentTerm")
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
)

// stableStore holds term and vote. Both are fsynced before anybody hears of them.
// A node that reads back less than it promised may vote twice in one term, so each
// value is sealed: a zero byte where it is text, and a CRC-32C of key and value,
// within the same write. Releases without seals read the same value, or, of
// LastVoteCand, one that makes them refuse a vote.
//
// A term is written only where both halves of the vote are there, if only as
// zeros: so what is missing beside a term was lost.
type stableStore struct {
	raft.StableStore
	watch *watchdog
	fail  func(error)
	// end is called by a goroutine of Raft's after a failure that Raft answers with
	// a panic. Nil, or one that returns, leaves the error to the caller.
	end func()

	voted bool // both halves of the vote are known to be there
}

func (s *stableStore) Set(key, value []byte) error {
	if bytes.Equal(key, keyCurrentTerm) {
		if err := s.ensureVote(); err != nil {
			return err
		}
	}
	defer s.watch.begin("write of term or vote")()
	err := sound(func() error { return s.StableStore.Set(key, sealStable(key, value)) })
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: write of term or vote: %w", ErrDisk, err)
	}
	return s.done(err)
}

func (s *stableStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// Get returns Raft's own "not found" for a key that is not there.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	value, err := s.reread(key)
	return value, s.done(err)
}

// reread is Get for those who are not Raft: damage is an error, and no more.
func (s *stableStore) reread(key []byte) (value []byte, err error) {
	var stored []byte
	if err := sound(func() (err error) { stored, err = s.StableStore.Get(key); return err }); err != nil {
		return nil, err
	}
	return unsealStable(key, stored)
}

// scrub rereads term and vote.
func (s *stableStore) scrub() error {
	_, err := s.reread(keyCurrentTerm)
	if notFound(err) {
		return nil // the first term is still to come
	}
	for _, key := range [][]byte{keyLastVoteTerm, keyLastVoteCand} {
		if err == nil {
			_, err = s.reread(key)
		}
	}
	if notFound(err) {
		return fmt.Errorf("%w: there is a term, and a vote is missing", ErrCorrupt)
	}
	return err
}

func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	switch {
	case notFound(err):
		return s.StableStore.GetUint64(key) // a store that keeps numbers apart
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, s.done(fmt.Errorf("%w: %s has %d bytes", ErrCorrupt, key, len(value)))
	}
	return binary.BigEndian.Uint64(value), nil
}

// done ends the node at what it cannot go on with.
func (s *stableStore) done(err error) error {
	if err == nil || notFound(err) {
		return err
	}
	s.fail(err)
	if s.end != nil {
		s.end()
	}
	return err
}

// ensureVote writes a vote for nobody in term 0, which there is none of, where
// this node has not voted yet.
func (s *stableStore) ensureVote() error {
	if s.voted {
		return nil
	}
	if _, err := s.Get(keyLastVoteTerm); notFound(err) {
		vote, err := s.StableStore.GetUint64(keyLastVoteTerm) // in a store that keeps numbers apart
		if err != nil && !notFound(err) {
			return s.done(err)
		}
		if err := s.SetUint64(keyLastVoteTerm, vote); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if _, err := s.Get(keyLastVoteCand); notFound(err) {
		if err := s.Set(keyLastVoteCand, nil); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	s.voted = true
	return nil
}

// recall checks at start that what was promised is there, and seals what an older
// release has written. last is the newest entry of the log, zero if there is none.
func (s *stableStore) recall(last raft.Log) error {
	stored, err := s.StableStore.Get(keyCurrentTerm)
	if notFound(err) {
		stored, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("read the term: %w", err)
	}
	term, err := s.GetUint64(keyCurrentTerm)
	switch {
	case err != nil && !notFound(err):
		return err
	case term < last.Term || last.Index > 0 && term == 0:
		return fmt.Errorf("%w: the log ends with an entry of term %d, and the term of this node is %d", ErrCorrupt, last.Term, term)
	case term == 0:
		return nil
	}
	if len(stored) == sealedTermBytes {
		for _, key := range [][]byte{keyLastVoteTerm, keyLastVoteCand} {
			if _, err := s.Get(key); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrCorrupt, key, err)
			}
		}
		return nil
	}
	return s.sealAll(term)
}

// sealAll writes the vote before the term: see the invariant above.
func (s *stableStore) sealAll(term uint64) error {
	if err := s.ensureVote(); err != nil {
		return err
	}
	vote, err := s.GetUint64(keyLastVoteTerm)
	if err != nil {
		return err
	}
	candidate, err := s.Get(keyLastVoteCand)
	if err != nil {
		return err
	}
	return errors.Join(s.SetUint64(keyLastVoteTerm, vote), s.Set(keyLastVoteCand, candidate), s.SetUint64(keyCurrentTerm, term))
}

const (
	stableSumBytes  = 4
	sealedTermBytes = 8 + stableSumBytes
)

func isNumber(key []byte) bool { return !bytes.Equal(key, keyLastVoteCand) }

// sealStable returns the stored form of a value.
func sealStable(key, value []byte) []byte {
	stored := append([]byte(nil), value...)
	if !isNumber(key) {
		stored = append(stored, 0) // no node id holds one
	}
	return binary.BigEndian.AppendUint32(stored, stableSum(key, stored))
}

func stableSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, crcTable), crcTable, value)
}

// unsealStable returns the value of a stored form; one of an older release has no
// seal.
func unsealStable(key, stored []byte) ([]byte, error) {
	at := len(stored) - stableSumBytes
	switch {
	case isNumber(key) && len(stored) == 8:
		return stored, nil
	case !isNumber(key) && (at < 1 || stored[at-1] != 0):
		return stored, nil
	case at < 0 || binary.BigEndian.Uint32(stored[at:]) != stableSum(key, stored[:at]):
		return nil, fmt.Errorf("%w: %s does not match its checksum", ErrCorrupt, key)
	case isNumber(key):
		return stored[:at:at], nil
	}
	return stored[: at-1 : at-1], nil
}

// notFound is how a stable store says that a key is not there; Raft compares the
// text, too.
func notFound(err error) bool { return err != nil && err.Error() == "not found" }
