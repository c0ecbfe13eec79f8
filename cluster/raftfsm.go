package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// raftFSM drives the machine from Raft's log. It skips nothing: an entry that
// was applied before a restart reaches the machine again, which knows better.
//
// Raft hands batches only to ApplyBatch and configuration entries among them;
// StoreConfiguration is there for the day that it does not.
type raftFSM struct {
	machine   Machine
	mark      *watermark
	clock     *logClock
	hashes    *hashes
	watch     *watchdog
	snapshots *snapshotStore
	fail      func(error)

	// halted is set once an entry could not be applied. From then on nothing is:
	// a gap in the log must not be followed by anything, and no snapshot may
	// claim what was not applied.
	halted atomic.Bool
}

var (
	_ raft.BatchingFSM        = (*raftFSM)(nil)
	_ raft.ConfigurationStore = (*raftFSM)(nil)
)

// outcome is what a batch entry's future answers with.
type outcome struct {
	index   uint64
	replies [][]byte
}

func (f *raftFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

func (f *raftFSM) ApplyBatch(logs []*raft.Log) []any {
	defer f.watch.begin("apply")()
	answers := make([]any, len(logs))
	for i, l := range logs {
		answers[i] = f.applyOne(l)
		if f.halted.Load() {
			return answers
		}
	}
	_, _, stamp := f.machine.Applied()
	f.clock.forward(stamp)
	f.mark.advance(logs[len(logs)-1].Index)
	return answers
}

// applyOne hands one entry to the machine. A machine that panics has met what
// must not be, such as a record that does not match its checksum: this node stops
// in order, with a reason for its operator, and the others carry on.
func (f *raftFSM) applyOne(l *raft.Log) (answer any) {
	if f.halted.Load() {
		return errHalted
	}
	defer func() {
		if broken := recover(); broken != nil {
			f.halted.Store(true)
			f.fail(fmt.Errorf("%w: apply entry %d: %v", ErrMachine, l.Index, broken))
			answer = errHalted
		}
	}()
	if l.Type == raft.LogConfiguration {
		f.machine.Configure(l.Index, l.Data)
		return nil
	}
	e, err := decodeEntry(l.Data)
	if err != nil {
		f.halted.Store(true)
		if errors.Is(err, errEntryVersion) { // it is whole
			f.fail(fmt.Errorf("%w: apply entry %d: %w: upgrade this node", ErrMachine, l.Index, err))
		} else {
			f.fail(fmt.Errorf("%w: entry %d: %w", ErrCorrupt, l.Index, err))
		}
		return errHalted
	}
	var replies [][]byte
	switch e.kind {
	case kindOpening:
		f.machine.Begin(l.Index, l.Term, e.stamp, e.cluster)
	case kindBatch:
		replies = f.machine.Apply(l.Index, l.Term, e.stamp, e.commands)
	}
	f.hashes.record(f.machine.Hash())
	return outcome{index: l.Index, replies: replies}
}

var errHalted = fmt.Errorf("%w: nothing is applied any more", ErrCorrupt)

func (f *raftFSM) StoreConfiguration(index uint64, configuration raft.Configuration) {
	f.machine.Configure(index, raft.EncodeConfiguration(configuration))
	f.mark.advance(index)
}

// Snapshot copies nothing: closing the sink flushes the table.
func (f *raftFSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.halted.Load() {
		return nil, errHalted
	}
	return emptySnapshot{}, nil
}

// Restore takes over an archive that a leader sent.
func (f *raftFSM) Restore(archive io.ReadCloser) error {
	if f.halted.Load() {
		return errHalted
	}
	if err := f.machine.Import(archive); err != nil {
		return fmt.Errorf("import the archive: %w", err)
	}
	index, _, stamp := f.machine.Applied()
	f.hashes.forget()
	f.hashes.record(f.machine.Hash())
	f.clock.forward(stamp)
	f.mark.advance(index)
	f.snapshots.installed(index)
	return nil
}

type emptySnapshot struct{}

func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (emptySnapshot) Release()                             {}
