// Package storage is what one node keeps on disk: a table of byte strings that
// is written behind a log.
//
// The replicated log is the write-ahead log, so a write here goes to memory and
// returns. A flusher commits what has gathered to bbolt, in one ordinary fsynced
// transaction that also holds the durable point: the index up to which the log
// is in the file. After a crash the file is a whole state of some index, and the
// log brings the rest.
//
//	Write, Advance ──▶ memtable ──freeze──▶ frozen ──flusher──▶ bbolt
//	                      ▲                   ▲                   ▲
//	Get, Scan, View ──────┴─── then ──────────┴─── then ──────────┘
//
// What always holds:
//   - A memtable is frozen between two log entries only, so the file never holds
//     half an entry.
//   - The data of an entry and the point that counts it are in one transaction.
//   - One goroutine writes. Where a full memtable meets a running flush it is
//     slowed down, entry by entry, and in the end stopped.
//   - Readers share one transaction of bbolt, which each flush renews. They begin
//     none of their own, and so wait for nothing that a commit does.
//   - A value on disk carries a CRC-32C of its key and itself; one that does not
//     match is an error, never an answer. So is a page that cannot be read.
//   - The first flush that fails is reported and is the last one: a node that
//     cannot write its disk stops.
//
// The package knows nothing of sessions, of the log's content or of its own
// index's meaning, and its clocks are the flusher's ticker and a slowed writer's
// patience: no answer depends on them.
package storage
