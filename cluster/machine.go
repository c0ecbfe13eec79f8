package cluster

import "io"

// Machine is what the log drives. cluster knows nothing of what a command
// means: it hands over bytes in log order and carries the replies back.
//
// Begin, Apply, Configure and Import are called by one goroutine at a time, in
// log order. All other methods may be called from any goroutine at any time.
type Machine interface {
	// Apply applies one log entry: index and term are Raft's, stamp is the
	// log's clock in milliseconds since the Unix epoch. The effective time of
	// an entry is the greater of stamp and the last one: time never goes back.
	// An entry at or below Applied is skipped and answered with nil; otherwise
	// there is one reply for each command. The commands belong to the log:
	// they must not be changed, and keeping one keeps its whole entry alive.
	Apply(index, term uint64, stamp int64, commands [][]byte) (replies [][]byte)

	// Begin applies a term's opening entry. The cluster id is kept if the
	// machine has none yet, and ignored otherwise.
	Begin(index, term uint64, stamp int64, cluster uint64)

	// Rename makes the state that of another cluster's log, which begins behind
	// index; see Recover. It fails for an index that is applied already.
	Rename(index, term, cluster uint64) error

	// Configure keeps the committed Raft configuration (opaque bytes) of index.
	Configure(index uint64, configuration []byte)

	// Applied is the place of the last entry that the machine has applied, and
	// the effective time of that entry. All are zero for an empty machine.
	Applied() (index, term uint64, stamp int64)

	// Cluster is the numeric id of the cluster whose log this is, 0 if none.
	Cluster() uint64

	// Level is the feature level that the log has reached, and the highest that
	// this release's machine understands. Releases before levels know level 1.
	Level() (reached, known uint16)

	// Durable is what would be there after a power cut now.
	Durable() (index, term uint64, configuration []byte, configurationIndex uint64)

	// Flush makes everything durable that was applied before the call, and
	// records the greater of (index, term) and the machine's own place:
	// barrier and no-op entries never reach the machine.
	Flush(index, term uint64) error

	// Export writes the whole durable state to w and returns the place that
	// this very archive holds.
	Export(w io.Writer) (index, term uint64, configuration []byte, configurationIndex uint64, err error)

	// Import replaces the whole state by an archive that Export wrote. A
	// failure leaves the old state, in memory and on disk.
	Import(r io.Reader) error

	// Hash is the hash of the whole state as of index. Two machines that
	// applied the same entries have equal hashes at equal indexes.
	Hash() (index, hash uint64)
}
