package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfastdb/holdfast/fsm"
	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/storage"
)

// collector shows the figures of a package that must not know Prometheus. It reads them once for each scrape.
type collector[S any] struct {
	read    func() S
	figures []figure[S]
}

type figure[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(S) float64
}

func (c *collector[S]) add(subsystem, name, help string, kind prometheus.ValueType, value func(S) float64) {
	desc := prometheus.NewDesc(prometheus.BuildFQName("holdfast", subsystem, name), help, nil, nil)
	c.figures = append(c.figures, figure[S]{desc, kind, value})
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		descs <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(metrics chan<- prometheus.Metric) {
	now := c.read()
	for _, f := range c.figures {
		metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(now))
	}
}

const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue

func tableCollector(table *storage.Table) prometheus.Collector {
	type stats = storage.Stats
	c := &collector[stats]{read: table.Stats}
	c.add("storage", "memory_bytes", "Bytes written to memory and not yet flushed.", gauge, func(s stats) float64 { return float64(s.MemoryBytes) })
	c.add("storage", "file_bytes", "Size in bytes of the bbolt file.", gauge, func(s stats) float64 { return float64(s.FileBytes) })
	c.add("storage", "file_free_pages", "Pages of the bbolt file, 4096 bytes each as a rule, that hold nothing.", gauge, func(s stats) float64 { return float64(s.FreePages) })
	c.add("storage", "open_reads", "Read transactions of bbolt that are open.", gauge, func(s stats) float64 { return float64(s.OpenReads) })
	c.add("storage", "flushes_total", "Flushes of memory to the file.", counter, func(s stats) float64 { return float64(s.Flushes) })
	c.add("storage", "last_flush_seconds", "Seconds that the last flush took.", gauge, func(s stats) float64 { return s.FlushTook })
	c.add("storage", "durable_index", "Last log index that is in the file.", gauge, func(s stats) float64 { return float64(s.Durable) })
	return c
}

// stateCollector shows what the machine counts: the same on every node that has applied the same log. A table that
// cannot be read shows zeros; that it cannot be read is told elsewhere, and ends the node.
func stateCollector(machine *fsm.Machine) prometheus.Collector {
	type stats = session.Stats
	c := &collector[stats]{read: func() stats { s, _ := machine.Stats(); return s }}
	c.add("sessions", "live", "Sessions in the table.", gauge, func(s stats) float64 { return float64(s.Sessions) })
	c.add("sessions", "users", "Users who have a session.", gauge, func(s stats) float64 { return float64(s.Users) })
	c.add("sessions", "events", "Events that are kept.", gauge, func(s stats) float64 { return float64(s.Events) })
	c.add("sessions", "created_total", "Sessions created since the cluster began.", counter, func(s stats) float64 { return float64(s.Created) })
	c.add("sessions", "revoked_total", "Sessions ended by a logout, a revocation or a limit.", counter, func(s stats) float64 { return float64(s.Revoked) })
	c.add("sessions", "expired_total", "Sessions ended by their time.", counter, func(s stats) float64 { return float64(s.Expired) })
	return c
}

// serviceCollector shows what this node's session service has done since it started.
func serviceCollector(sessions *fsm.Sessions) prometheus.Collector {
	type figures = fsm.Figures
	c := &collector[figures]{read: sessions.Figures}
	c.add("sweeper", "sweeps_total", "Sweep commands of this node.", counter, func(f figures) float64 { return float64(f.Sweeps) })
	c.add("sweeper", "expired_total", "Sessions that this node's sweeps ended.", counter, func(f figures) float64 { return float64(f.Swept) })
	c.add("touches", "applied_total", "Touches of this node that took effect.", counter, func(f figures) float64 { return float64(f.Touches) })
	c.add("touches", "lost_total", "Touches of this node that found no leader in time.", counter, func(f figures) float64 { return float64(f.TouchesLost) })
	return c
}

// backlogCollector shows what waits on this node.
func backlogCollector(sessions *fsm.Sessions) prometheus.Collector {
	type backlog = fsm.Backlog
	c := &collector[backlog]{read: func() backlog { b, _ := sessions.Backlog(); return b }}
	c.add("sweeper", "due_sessions", "Sessions that wait for the sweeper, counted up to 10000.", gauge, func(b backlog) float64 { return float64(b.Due) })
	c.add("sweeper", "oldest_due_seconds", "Seconds since the first session that waits for the sweeper was due; 0 if none waits.", gauge,
		func(b backlog) float64 { return b.OldestDue.Seconds() })
	c.add("touches", "waiting", "Touches that wait to be sent.", gauge, func(b backlog) float64 { return float64(b.Touches) })
	c.add("sessions", "idempotency_keys", "Idempotency keys whose outcomes are remembered.", gauge, func(b backlog) float64 { return float64(b.IdempotencyKeys) })
	c.add("events", "queued", "Events that wait for the readers of this node's streams.", gauge, func(b backlog) float64 { return float64(b.QueuedEvents) })
	c.add("events", "longest_queue", "Events that wait for the slowest reader; at 1024 its stream is ended.", gauge, func(b backlog) float64 { return float64(b.LongestQueue) })
	c.add("events", "streams_dropped_total", "Streams that were ended because their readers were too slow.", counter, func(b backlog) float64 { return float64(b.StreamsDropped) })
	return c
}

func (s *Server) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		tableCollector(s.table), stateCollector(s.machine), serviceCollector(s.sessions), backlogCollector(s.sessions),
		s.flushes, diskCollector(s.cfg.DataDir, s.disk), scrubCollector(&s.scrubbed), newNodeCollector(s),
	}
}
