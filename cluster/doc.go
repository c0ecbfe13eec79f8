// Package cluster replicates opaque commands through a Raft log and says when a
// node's own state is fresh enough to be read.
//
// It knows indexes, terms, stamps, nodes and bytes. It must not know what a
// command means, nor HTTP: the [Machine] below it takes commands, the service
// above it uses [Node.Propose] and [Node.Read]. It is the only importer of
// hashicorp/raft, raft-boltdb and memberlist (through its sub-packages pki,
// wire and gossip, which nobody else imports).
//
// # A write
//
//	Propose ── batcher ──┬─ leader: one log entry ── Raft ── Machine.Apply ── reply
//	                     └─ elsewhere: one call to the leader's batcher (one hop)
//
// The leader sends an entry to the followers before its own disk has it (ahead),
// and counts their answers afterwards: a write waits for one disk and not for two in a row.
//
// An attempt ends in a reply, in "not executed", or in "unknown". Only the
// second is forgotten; after the third the same bytes are proposed again until
// the context ends, so the machine must know commands by their request ids.
//
// # A read
//
//	Read ──┬─ fresh within max staleness, index applied ── now
//	       └─ barrier: the next question to the leader, shared by all who wait
//	              └─ leader: the next round: index ── majority of voters ── term again
//
// A node is fresh as of the moment at which it sent a question, once it has
// applied the index of the answer. The leader is no exception: it asks itself,
// and without a majority gets no answer.
//
// # A node's life
//
//	          empty store                        stores remember a term
//	joining ──────────────┐                             │
//	   │ leader removed   │ N empty nodes,              │
//	   │ and added it     │ or a Form call              │
//	   ▼                  ▼                             ▼
//	non-voter ─────────> Raft runs: follower ⇄ candidate ⇄ leader
//	 (promoted once it has kept up)                     │ opening entry applied
//	                                                    ▼
//	any of them ── disk, checksum, other hash, removed ──> stopped (Done, Err)
//
// # What always holds
//
//   - Every entry of ours carries a checksum that is verified when it is read
//     from disk and when it is applied. After an entry that fails, nothing is
//     applied and no snapshot is taken.
//   - A leader commits an entry of its own before it serves (Leading). The clock
//     is moved to the median of a majority before that entry is stamped.
//   - The log's clock never goes back, and a read's clock is never behind a stamp
//     that its node has applied. On another node it may be behind by as much as
//     the log's clock was moved forward since that node's last answer.
//   - An entry counts on no node whose disk does not hold it, the leader included.
//   - The applied index is this package's own (watermark); raft.AppliedIndex means
//     "handed over".
//   - A forwarded command is never forwarded again.
//   - An empty store never answers a vote: it has no Raft transport.
//   - No Raft message passes between two logs: each connection begins with the
//     numeric id of the cluster.
//   - Gossip never changes the membership.
//   - Everything that waits is bounded: 16,384 commands or 64 MiB in the queue,
//     8,192 waiters for an index, 1,024 for a proof of freshness.
//   - Close waits for every goroutine that the node started; only a node that
//     stopped because of its disk gives up.
//
// The formats (log entry, data directory) are described in docs/formats.md.
package cluster
