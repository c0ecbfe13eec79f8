package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

// Save writes what an operator keeps of the state: one consistent state that
// holds every write acknowledged before the call. It returns the place of that
// very state. It takes as long as the state is large: ctx should not be a
// request's. Errors of the disk below w come back as they are.
func (s *Sessions) Save(ctx context.Context, w io.Writer) (session.Index, error) {
	now, cancel := context.WithTimeout(ctx, saveBarrier)
	_, err := s.admit(now, session.Consistency{Strong: true})
	cancel()
	if err != nil {
		return session.Index{}, err
	}
	return s.machine.Save(ctx, w)
}

// saveBarrier is how long a save waits for the proof that this node is fresh.
const saveBarrier = 5 * time.Second

// Save writes the state as a saved archive: all that was applied before the call
// is in it. See saved for what it leaves out.
func (m *Machine) Save(ctx context.Context, w io.Writer) (at session.Index, err error) {
	if err := m.table.Flush(ctx, 0, 0); err != nil {
		return at, err
	}
	state, err := m.table.Export()
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	h, err := survey(ctx, state)
	if err != nil {
		return at, err
	}
	out, err := snapshot.NewWriter(w, h)
	if err != nil {
		return at, err
	}
	err = each(ctx, state, func(key, value []byte) error {
		kept, err := saved(key, value)
		if err != nil || kept == nil {
			return err
		}
		return out.Put(key, kept)
	})
	if err == nil {
		err = out.Close()
	}
	return session.Index{Cluster: h.Cluster, Index: h.Index}, err
}

// survey reads the whole state to learn what a saved archive of it begins with.
// It also holds the state against its hash: an archive of a table that has lost
// something would be found out only when it is needed.
func survey(ctx context.Context, state *storage.Export) (h snapshot.Header, err error) {
	h = snapshot.Header{Index: state.Point.Index, Term: state.Point.Term, Kind: snapshot.Saved}
	var whole, promised uint64
	err = each(ctx, state, func(key, value []byte) error {
		switch string(key) {
		case string(metaHashKey):
			_, promised, err = decodeHash(value)
			return err
		case string(metaStateKey):
			state, err := decodeMeta(value)
			if err != nil {
				return err
			}
			h.Cluster, h.Stamp = state.public(), int64(state.stamp)
		}
		share := pairHash(key, value)
		whole += share
		kept, err := saved(key, value)
		switch {
		case err != nil || kept == nil:
			return err
		case len(kept) != len(value): // what is left out makes a record shorter
			share = pairHash(key, kept)
		}
		h.Hash += share
		return nil
	})
	if err == nil && whole != promised {
		err = fmt.Errorf("save: %w", ErrStateHash)
	}
	return h, err
}

// saved is what an archive that an operator keeps holds of a pair, nil for
// nothing. It leaves out what a restore makes anew (indexes), what means
// something to this log alone (incarnations, Idempotency-Keys), and what a thief
// could use beside a token that he has: a secret that is sealed for the holder of
// the one before it.
func saved(key, value []byte) ([]byte, error) {
	switch key[0] {
	case prefixMeta:
		if string(key) == string(metaStateKey) {
			return value, nil
		}
	case prefixAccount, prefixEvent:
		return value, nil
	case prefixSession:
		rec, err := decodeRecord(tailID(key), value)
		if err != nil || rec.Rotation.GraceUntil == 0 {
			return value, err
		}
		rec.Session = rec.Settled()
		return encodeRecord(&rec), nil
	case prefixIdempotency:
		m, err := decodeRemembered(value)
		if err != nil || m.command == cmdLogout { // what a provider has ended stays ended
			return value, err
		}
	}
	return nil, nil
}

// saveAsk is how many pairs are read between two looks at the context.
const saveAsk = 1024

func each(ctx context.Context, state *storage.Export, fn func(key, value []byte) error) error {
	n := 0
	return state.Each(func(key, value []byte) error {
		if n++; n%saveAsk == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return fn(key, value)
	})
}
