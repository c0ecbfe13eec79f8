package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// Machine applies the log's commands to the table.
//
// Apply, Begin, Configure and Import are for the one goroutine that drives the
// log; every other method may be called from any goroutine at any time.
type Machine struct {
	table *storage.Table

	// The log's goroutine alone reads and writes these.
	meta         meta
	metaRaw      []byte // as stored; nil before the first entry
	incarnations map[uint64]*incarnation
	swept        sweepMarks

	// place is what other goroutines may know of the last entry. It is replaced
	// as a whole once the entry is in the table.
	place atomic.Pointer[place]
	// news says that there are new events; whoever follows them reads them.
	news chan struct{}
	// writing is the index of the entry that is going into the table. Where it
	// equals place's index, the table is at that index.
	writing atomic.Uint64
}

// place is where in the log the table stands.
type place struct {
	index, term     uint64
	stamp           session.Time
	cluster, public uint64
	hashIndex, hash uint64
	level           uint16
}

// OpenMachine continues where the table stands. The caller closes the table
// after the last call of any method.
func OpenMachine(table *storage.Table) (*Machine, error) {
	m := &Machine{table: table, news: make(chan struct{}, 1)}
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("open the machine: %w", err)
	}
	return m, nil
}

// load reads what is kept in memory from the table, whose state is durable.
func (m *Machine) load() error {
	p := m.table.Durable()
	at := &place{index: p.Index, term: p.Term}
	m.meta, m.metaRaw, m.swept = meta{}, nil, sweepMarks{}
	raw, ok, err := m.table.Get(metaStateKey)
	if err != nil {
		return err
	}
	if ok {
		if m.meta, err = decodeMeta(raw); err != nil {
			return err
		}
		m.metaRaw = raw
		hash, _, err := m.table.Get(metaHashKey)
		if err != nil {
			return err
		}
		if at.hashIndex, at.hash, err = decodeHash(hash); err != nil {
			return err
		}
		if at.hashIndex > at.index {
			return fmt.Errorf("the table holds entry %d and says that it ends at %d", at.hashIndex, at.index)
		}
	}
	if m.incarnations, err = loadIncarnations(m.table); err != nil {
		return err
	}
	if err := m.meta.known(); err != nil {
		return err
	}
	at.stamp, at.cluster, at.public, at.level = m.meta.stamp, m.meta.cluster, m.meta.public(), m.meta.level()
	m.place.Store(at) // first: see told
	m.writing.Store(at.index)
	return nil
}

// Apply applies one log entry and returns one reply for each command. An entry
// at or below Applied is skipped and answered with nil. The entry's effective
// time is the greater of stamp and the last one.
func (m *Machine) Apply(index, term uint64, stamp int64, commands [][]byte) (replies [][]byte) {
	if index <= m.place.Load().index {
		return nil
	}
	e := m.begin(index, stamp, len(commands))
	replies = make([][]byte, len(commands))
	for i, command := range commands {
		p := e.apply(command)
		p.now = e.now
		if p.index == 0 {
			p.index = index
		}
		replies[i] = encodeReply(&p)
	}
	m.finish(e, term)
	return replies
}

// Begin applies a term's opening entry. The first one names the cluster.
func (m *Machine) Begin(index, term uint64, stamp int64, cluster uint64) {
	if index <= m.place.Load().index {
		return
	}
	e := m.begin(index, stamp, 0)
	if m.meta.cluster == 0 {
		m.meta.cluster = cluster
	}
	m.finish(e, term)
}

// Rename makes the state that of another log, which begins with the entry at
// index: a recovery's. Neither the indexes of the old log nor its nodes are
// believed from then on.
func (m *Machine) Rename(index, term, cluster uint64) error {
	if at := m.place.Load().index; index <= at {
		return fmt.Errorf("the state is at %d already, and cannot begin a log at %d", at, index)
	}
	e := m.begin(index, 0, 0)
	m.meta.cluster, m.meta.renamed = cluster, 0
	m.finish(e, term)
	return nil
}

// Configure keeps the cluster's configuration, made by the entry at index.
func (m *Machine) Configure(index uint64, configuration []byte) {
	if index > m.table.Durable().ConfigurationIndex {
		m.table.Configure(configuration, index)
	}
}

// entry is one log entry while it is applied.
type entry struct {
	*stage
	m       *Machine
	meta    *meta
	index   uint64
	now     session.Time
	ordinal uint32 // of the next event
	recent  recent
}

func (m *Machine) begin(index uint64, stamp int64, commands int) *entry {
	m.meta.stamp = max(m.meta.stamp, session.Time(stamp))
	return &entry{
		stage: newStage(m.table, m.place.Load().hash, commands), m: m,
		meta: &m.meta, index: index, now: m.meta.stamp,
	}
}

func (m *Machine) finish(e *entry, term uint64) {
	e.keepIncarnations()
	raw := encodeMeta(&m.meta)
	if m.metaRaw == nil {
		e.insert(metaStateKey, raw)
	} else {
		e.replace(metaStateKey, m.metaRaw, raw)
	}
	m.metaRaw = raw
	e.set(write{key: metaHashKey, value: encodeHash(e.index, e.hash)})

	m.writing.Store(e.index)
	e.commit()
	m.table.Advance(e.index, term)
	m.place.Store(&place{
		index: e.index, term: term, stamp: e.now, cluster: m.meta.cluster, public: m.meta.public(),
		hashIndex: e.index, hash: e.hash, level: m.meta.level(),
	})
	if e.ordinal > 0 {
		m.tellNews()
	}
}

func (m *Machine) tellNews() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// apply runs one command. What cannot be read stops the node: other releases
// might read it, and going on would diverge from them.
func (e *entry) apply(command []byte) reply {
	env, err := decodeEnvelope(command)
	if err != nil {
		panic(fmt.Sprintf("fsm: entry %d: %v", e.index, err))
	}
	run := handlerOf(&env)
	if run == nil {
		if env.Ignorable {
			return refuse(codeIgnored)
		}
		panic(fmt.Sprintf("fsm: entry %d holds command %d of version %d, which this release does not know: upgrade this node",
			e.index, env.Type, env.Version))
	}
	if env.Request == nil {
		return run(e, &env)
	}
	if p, known := e.known(&env); known {
		return p
	}
	p := e.once(&env, run)
	if p.index == 0 {
		p.index = e.index
	}
	e.remember(env.Request, p.outcome)
	return p
}

func handlerOf(env *envelope) func(*entry, *envelope) reply {
	if env.Version != commandVersion || env.Type.level() > knownLevel {
		return nil
	}
	switch env.Type {
	case cmdTick:
		return func(*entry, *envelope) reply { return reply{} }
	case cmdCreate:
		return (*entry).create
	case cmdPatch:
		return (*entry).patch
	case cmdPatchUser:
		return (*entry).patchUser
	case cmdRefresh:
		return (*entry).refresh
	case cmdTouch:
		return (*entry).touch
	case cmdRevoke:
		return (*entry).revoke
	case cmdRevokeUser:
		return (*entry).revokeUser
	case cmdSweep:
		return (*entry).sweep
	case cmdRotate:
		return (*entry).rotate
	case cmdReuse:
		return (*entry).reuse
	case cmdLogout:
		return (*entry).logout
	case cmdLevel:
		return (*entry).raise
	case cmdRestore:
		return (*entry).restoreBegin
	case cmdRestoring:
		return (*entry).restoreChunk
	case cmdRestored:
		return (*entry).restoreEnd
	}
	return nil
}

// bodyOf reads the body of a command whose type and version are known.
func bodyOf[T any](e *entry, env *envelope, decode func([]byte) (T, error)) T {
	body, err := decodeBody(env, decode)
	if err != nil {
		panic(fmt.Sprintf("fsm: entry %d: %v", e.index, err))
	}
	return body
}

var errHashPair = errors.New("the pair that holds the state hash is malformed")

func encodeHash(index, hash uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), index), hash)
}

func decodeHash(raw []byte) (index, hash uint64, err error) {
	if len(raw) != 16 {
		return 0, 0, errHashPair
	}
	return binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:]), nil
}
