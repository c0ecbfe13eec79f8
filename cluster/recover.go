package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A recovery makes a cluster of one out of a node whose majority is lost for
// good. What the node's log holds is applied to its end, committed or not:
// writes that were acknowledged are never undone by it. What only lost nodes had
// is gone. The log then goes on under a new cluster id, so that neither an old
// node that turns up nor an index that a client still holds is believed.

// LastWords are what a node's data directory can say about the cluster it was in.
type LastWords struct {
	NodeID  string
	Cluster uint64
	// Index and Term are those of the last entry in the log. Of several survivors
	// the one with the greater term, then the greater index, has the most.
	Index, Term uint64
	// Time is when that entry was proposed, by the log's clock; zero if unknown.
	Time time.Time
	// Voters and Others are the members of the last configuration.
	Voters, Others []string
}

// Confirmation is what an operator repeats to show that this is the node, and
// the end of the log, that is meant.
func (w LastWords) Confirmation() string { return fmt.Sprintf("%s:%d:%d", w.NodeID, w.Term, w.Index) }

// Recovery is a data directory opened for Recover. No server may run on it.
type Recovery struct {
	machine Machine
	logs    raft.LogStore
	stable  raft.StableStore
	close   func() error
	words   LastWords
}

// OpenRecovery opens the log in dir, whose machine is open, and changes nothing.
func OpenRecovery(dir string, machine Machine, walk Walk) (*Recovery, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, fmt.Errorf("this is no node's data directory: %w", err)
	}
	file, err := openInspected(dir, walk)
	if err != nil {
		return nil, err
	}
	r, err := newRecovery(id.NodeID, machine, file, file, file.Close)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

func newRecovery(id string, machine Machine, logs raft.LogStore, stable raft.StableStore, closing func() error) (*Recovery, error) {
	// Nobody waits for a disk here but an operator, who is told of every fault.
	watch, tell := newWatchdog(time.Hour, func(error) {}), func(error) {}
	logs, stable = newLogStore(logs, 0, watch, tell), &stableStore{StableStore: stable, watch: watch, fail: tell}
	r := &Recovery{machine: machine, logs: logs, stable: stable, close: closing, words: LastWords{NodeID: id, Cluster: machine.Cluster()}}
	if empty, err := wiped(logs, stable); err != nil {
		return nil, err
	} else if empty {
		return nil, errors.New("this node's log is empty: it has nothing to recover from; use another survivor")
	}
	return r, r.listen()
}

// Close lets the log go. The machine is the caller's.
func (r *Recovery) Close() error { return r.close() }

// LastWords are what the directory says.
func (r *Recovery) LastWords() LastWords { return r.words }

// listen reads the end of the log, and the last configuration.
func (r *Recovery) listen() error {
	durable, term, configuration, _ := r.machine.Durable()
	_, _, stamp := r.machine.Applied()
	r.words.Index, r.words.Term = durable, term
	err := r.each(durable+1, func(l *raft.Log) error {
		r.words.Index, r.words.Term = l.Index, l.Term
		switch l.Type {
		case raft.LogConfiguration:
			configuration = l.Data
		case raft.LogCommand:
			e, err := decodeEntry(l.Data)
			if err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, l.Index, err)
			}
			stamp = max(stamp, e.stamp)
			if e.kind == kindOpening && r.words.Cluster == 0 {
				r.words.Cluster = e.cluster
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(configuration) == 0 {
		return errors.New("neither the table nor the log knows the members of the cluster: use another survivor")
	}
	c, err := decodeConfiguration(configuration)
	if err != nil {
		return err
	}
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			r.words.Voters = append(r.words.Voters, string(s.ID))
		} else {
			r.words.Others = append(r.words.Others, string(s.ID))
		}
	}
	if len(r.words.Voters) == 1 && r.words.Voters[0] == r.words.NodeID {
		return errors.New("this node is the only voter of its cluster, so no majority is lost: start it as it is")
	}
	if stamp > 0 {
		r.words.Time = time.UnixMilli(stamp)
	}
	return nil
}

// each reads the entries from first to the end of the log. There must be no hole
// between the table and the log.
func (r *Recovery) each(first uint64, do func(*raft.Log) error) error {
	lowest, err := r.logs.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	last, err := r.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if lowest > first {
		return fmt.Errorf("the log begins at %d and the table ends at %d: the table is not the one that belongs to this log; use another survivor",
			lowest, first-1)
	}
	for index := first; index <= last; index++ {
		var l raft.Log
		if err := r.logs.GetLog(index, &l); err != nil {
			return fmt.Errorf("read entry %d: %w", index, err)
		}
		if err := do(&l); err != nil {
			return err
		}
	}
	return nil
}

// Recover makes this node the only member of a new cluster with the old one's
// state, and returns the new cluster's id. A crash in its course leaves either
// the old node or the recovered one, and it may be begun again.
func (r *Recovery) Recover() (cluster uint64, err error) {
	durable, _, _, _ := r.machine.Durable()
	if err := r.each(durable+1, r.apply); err != nil {
		return 0, err
	}
	term, err := r.nextTerm()
	if err != nil {
		return 0, err
	}
	if cluster, err = drawCluster(); err != nil {
		return 0, err
	}
	index := r.words.Index + 1
	if err := r.machine.Rename(index, term, cluster); err != nil {
		return 0, err
	}
	r.machine.Configure(index, raft.EncodeConfiguration(bootstrapConfiguration([]string{r.words.NodeID})))
	if err := r.machine.Flush(index, term); err != nil {
		return 0, fmt.Errorf("flush the table: %w", err)
	}
	return cluster, r.forgetLog(index, term)
}

func (r *Recovery) apply(l *raft.Log) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%w: apply entry %d: %v", ErrMachine, l.Index, broken)
		}
	}()
	switch l.Type {
	case raft.LogConfiguration:
		r.machine.Configure(l.Index, l.Data)
	case raft.LogCommand:
		e, err := decodeEntry(l.Data)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, l.Index, err)
		}
		if e.kind == kindOpening {
			r.machine.Begin(l.Index, l.Term, e.stamp, e.cluster)
		} else {
			r.machine.Apply(l.Index, l.Term, e.stamp, e.commands)
		}
	}
	return nil
}

// nextTerm is above every term that this node has heard of.
func (r *Recovery) nextTerm() (uint64, error) {
	current, err := r.stable.GetUint64(keyCurrentTerm)
	if err != nil {
		return 0, fmt.Errorf("read the term: %w", err)
	}
	return max(current, r.words.Term) + 1, nil
}

// forgetLog drops the entries, which the table holds now, and takes up the term.
// The term goes first: with it Raft is at the table's point, whatever entries
// are left below it.
func (r *Recovery) forgetLog(index, term uint64) error {
	if err := r.stable.SetUint64(keyCurrentTerm, term); err != nil {
		return fmt.Errorf("write the term: %w", err)
	}
	first, err := r.logs.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	if err := r.logs.DeleteRange(first, index-1); err != nil {
		return fmt.Errorf("drop the log: %w", err)
	}
	return nil
}

// Confirms says whether text is the confirmation, and what it should be.
func (w LastWords) Confirms(text string) error {
	if text == w.Confirmation() {
		return nil
	}
	return fmt.Errorf("the confirmation %q is not for this node and the end of its log: want %q", text, w.Confirmation())
}
