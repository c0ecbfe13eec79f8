package storage

// Stats of a table.
type Stats struct {
	MemoryBytes int64 // in the memtables
	FileBytes   int64
	Flushes     uint64
	FlushTook   float64 // seconds of the last flush
	FreePages   int
	OpenReads   int
	Durable     uint64 // index
}

// Stats returns figures for the operator.
func (t *Table) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	file := t.db.Stats()
	s := Stats{
		MemoryBytes: t.mem.bytes, Flushes: t.flushes, FlushTook: t.lastTook.Seconds(), Durable: t.durable.Index,
		FreePages: file.FreePageN, OpenReads: file.OpenTxN,
	}
	if t.frozen != nil {
		s.MemoryBytes += t.frozen.bytes
	}
	if d, err := t.pinned(); err == nil {
		s.FileBytes = d.tx.Size()
		d.unpin()
	}
	return s
}
