package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

// Applied is the place of the last entry in the table, and its effective time in
// milliseconds. All are zero for an empty machine.
func (m *Machine) Applied() (index, term uint64, stamp int64) {
	p := m.place.Load()
	return p.index, p.term, int64(p.stamp)
}

// Cluster is the id of the cluster whose log this is, 0 if none.
func (m *Machine) Cluster() uint64 { return m.place.Load().cluster }

// Public is the id by which clients know the cluster, and of which indexes are.
// A restore draws it anew.
func (m *Machine) Public() uint64 { return m.place.Load().public }

// Hash is the hash of the whole state as of index.
func (m *Machine) Hash() (index, hash uint64) {
	p := m.place.Load()
	return p.hashIndex, p.hash
}

// Durable is what would be there after a power cut now.
func (m *Machine) Durable() (index, term uint64, configuration []byte, configurationIndex uint64) {
	p := m.table.Durable()
	return p.Index, p.Term, p.Configuration, p.ConfigurationIndex
}

// Flush makes everything durable that was applied before the call, and records
// the greater of (index, term) and the machine's own place.
func (m *Machine) Flush(index, term uint64) error {
	return m.table.Flush(context.Background(), index, term)
}

// Export writes the durable state to w as an archive, and returns the place that
// this very archive holds.
func (m *Machine) Export(w io.Writer) (index, term uint64, configuration []byte, configurationIndex uint64, err error) {
	state, err := m.table.Export()
	if err != nil {
		return 0, 0, nil, 0, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	a := archiving{to: w, point: state.Point}
	if err := state.Each(a.put); err != nil {
		return 0, 0, nil, 0, err
	}
	if err := a.finish(); err != nil {
		return 0, 0, nil, 0, err
	}
	p := state.Point
	return p.Index, p.Term, p.Configuration, p.ConfigurationIndex, nil
}

// archiving writes the pairs of one export. The header is made of the meta
// pairs, which come first.
type archiving struct {
	to    io.Writer
	point storage.Point
	first []pair
	out   *snapshot.Writer // nil while first is gathered
}

func (a *archiving) put(key, value []byte) error {
	if a.out == nil && key[0] == prefixMeta {
		a.first = append(a.first, pair{slices.Clone(key), slices.Clone(value)})
		return nil
	}
	if err := a.begin(); err != nil {
		return err
	}
	return a.out.Put(key, value)
}

func (a *archiving) begin() error {
	if a.out != nil {
		return nil
	}
	h := snapshot.Header{
		Index: a.point.Index, Term: a.point.Term, Kind: snapshot.Member,
		Configuration: a.point.Configuration, ConfigurationIndex: a.point.ConfigurationIndex,
	}
	for _, p := range a.first {
		switch string(p.key) {
		case string(metaStateKey):
			kept, err := decodeMeta(p.value)
			if err != nil {
				return err
			}
			h.Cluster, h.Stamp = kept.cluster, int64(kept.stamp)
		case string(metaHashKey):
			var err error
			if _, h.Hash, err = decodeHash(p.value); err != nil {
				return err
			}
		}
	}
	var err error
	if a.out, err = snapshot.NewWriter(a.to, h); err != nil {
		return err
	}
	for _, p := range a.first {
		if err := a.out.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func (a *archiving) finish() error {
	if err := a.begin(); err != nil {
		return err
	}
	return a.out.Close()
}

var errArchiveHash = errors.New("the archive's pairs do not make the state hash that its header promises")

// Import replaces the whole state by an archive that Export wrote. It is
// checked whole before it takes effect; a failure leaves the old state.
func (m *Machine) Import(r io.Reader) error {
	archive, err := snapshot.NewReader(r)
	if err != nil {
		return err
	}
	defer archive.Close()
	h := archive.Header()
	if h.Kind != snapshot.Member {
		return fmt.Errorf("an archive of kind %d is not one that members exchange", h.Kind)
	}
	point := storage.Point{
		Index: h.Index, Term: h.Term, Configuration: h.Configuration, ConfigurationIndex: h.ConfigurationIndex,
	}
	// While the table is swapped no reader may believe that it stands at place.
	m.writing.Store(importing)
	err = m.table.Import(point, func(put func(key, value []byte) error) error {
		all, err := copyPairs(archive, put)
		if err == nil {
			err = all.check(h)
		}
		return err
	})
	if err != nil {
		m.writing.Store(m.place.Load().index)
		return err
	}
	err = m.load()
	m.tellNews()
	return err
}

// importing is no entry's index.
const importing = ^uint64(0)

// copied is what an archive's pairs come to.
type copied struct {
	hash           uint64
	state, promise []byte // the pairs of metaStateKey and metaHashKey; nil if they are not there
}

// copyPairs reads an archive to its end.
func copyPairs(archive *snapshot.Reader, put func(key, value []byte) error) (all copied, err error) {
	for {
		key, value, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return copied{}, err
		}
		key, value = slices.Clone(key), slices.Clone(value) // bbolt keeps them until its transaction ends
		switch {
		case string(key) == string(metaHashKey):
			all.promise = value
		case string(key) == string(metaStateKey):
			all.state = value
		case key[0] == prefixIncarnation:
			if _, _, err := parseIncarnation(key, value); err != nil {
				return copied{}, err
			}
		}
		if string(key) != string(metaHashKey) {
			all.hash += pairHash(key, value)
		}
		if err := put(key, value); err != nil {
			return copied{}, err
		}
	}
}

// check refuses all that load would: by then the old state is gone.
func (all *copied) check(h snapshot.Header) error {
	if all.hash != h.Hash {
		return errArchiveHash
	}
	if all.state == nil && all.promise == nil {
		return nil // nothing has been applied yet
	}
	kept, err := decodeMeta(all.state)
	if err == nil {
		err = kept.known()
	}
	if err != nil {
		return err
	}
	index, hash, err := decodeHash(all.promise)
	if err == nil && (index > h.Index || hash != h.Hash) {
		err = errArchiveHash
	}
	return err
}

// ErrStateHash is returned where what is on disk is not what was written: a
// pair is missing, or an old one has come back.
var ErrStateHash = errors.New("the table does not hold the state that its hash promises")

// scrubPiece is how many pairs are reread between two pauses.
const scrubPiece = 500

// Scrub rereads the whole table: slowly, calling pause between two pieces, to
// check every checksum, and then once in a single transaction to compute the
// state hash anew. The error's chain holds storage.ErrCorrupt or ErrStateHash
// if this node's disk can no longer be believed.
func (m *Machine) Scrub(ctx context.Context, pause func()) error {
	if err := m.table.Scrub(ctx, scrubPiece, pause, nil); err != nil {
		return err
	}
	state, err := m.table.Export()
	if err != nil {
		return err
	}
	var hash, want uint64
	err = state.Each(func(key, value []byte) error {
		if string(key) != string(metaHashKey) {
			hash += pairHash(key, value)
			return ctx.Err()
		}
		var err error
		_, want, err = decodeHash(value)
		return err
	})
	if err = errors.Join(err, state.Close()); err != nil {
		return err
	}
	if hash != want {
		return fmt.Errorf("scrub: %w", ErrStateHash)
	}
	return nil
}

// lookTries is how often a lookup hopes to meet the table between two entries.
const lookTries = 3

// look reads one pair of a state, and says which state it is of.
func (m *Machine) look(key []byte) (value []byte, ok bool, at session.Index, err error) {
	for range lookTries {
		p := m.place.Load()
		if value, ok, err = m.table.Get(key); err != nil {
			return nil, false, at, err
		}
		if m.writing.Load() == p.index {
			return value, ok, p.logIndex(), nil
		}
	}
	err = m.view(func(v view) error {
		at = v.at
		var err error
		value, ok, err = v.Get(key)
		return err
	})
	return value, ok, at, err
}

func (p *place) logIndex() session.Index { return session.Index{Cluster: p.public, Index: p.index} }

// index is what this node has applied.
func (m *Machine) index() session.Index { return m.place.Load().logIndex() }

// view is one state, and which one it is.
type view struct {
	storage.Reader
	at session.Index
}

// view calls fn with one state. Writers wait for fn: keep it short.
func (m *Machine) view(fn func(view) error) error {
	return m.table.View(func(r storage.Reader) error {
		v := view{Reader: r, at: m.index()}
		raw, ok, err := r.Get(metaHashKey)
		if err != nil {
			return err
		}
		if ok {
			// The pair is of the last entry that is in the table, whatever place says.
			index, _, err := decodeHash(raw)
			if err != nil {
				return err
			}
			state, _, err := r.Get(metaStateKey)
			if err != nil {
				return err
			}
			kept, err := decodeMeta(state)
			if err != nil {
				return err
			}
			v.at = session.Index{Cluster: kept.public(), Index: max(index, m.told())}
		}
		return fn(v)
	})
}

// told is the index that readers have been told is applied. It may be greater
// than that of the last entry in the table, for the log also holds entries that
// bring no data, and must not go back.
func (m *Machine) told() uint64 {
	if m.writing.Load() == importing {
		return 0
	}
	return m.place.Load().index
}

// Stats counts what the table holds.
func (m *Machine) Stats() (session.Stats, error) {
	raw, ok, at, err := m.look(metaStateKey)
	if err != nil {
		return session.Stats{}, err
	}
	var kept meta
	if ok {
		if kept, err = decodeMeta(raw); err != nil {
			return session.Stats{}, err
		}
	}
	return session.Stats{
		Sessions: kept.sessions, Users: kept.users, Created: kept.created, Revoked: kept.revoked,
		Expired: kept.expired, Events: kept.events, DatabaseBytes: m.table.Stats().FileBytes, Index: at,
	}, nil
}
