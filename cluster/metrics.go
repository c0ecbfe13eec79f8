package cluster

import (
	"errors"
	"fmt"
	"time"

	metrics "github.com/hashicorp/go-metrics/compat"
	metricsprom "github.com/hashicorp/go-metrics/compat/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// InstallMetrics makes the series of Raft, raft-boltdb and memberlist appear in
// reg. These libraries report to go-metrics or to its older twin, depending on a
// build tag; the compat package goes the same way as they do, so no tag is
// needed. It is global to the process: call it once, before Open.
func InstallMetrics(reg prometheus.Registerer) error {
	sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{
		Registerer: reg,
		Name:       "holdfast_libraries",
	})
	if err != nil {
		return fmt.Errorf("install metrics: %w", err)
	}
	config := metrics.DefaultConfig("holdfast")
	config.EnableHostname = false
	config.EnableRuntimeMetrics = false
	if _, err := metrics.NewGlobal(config, sink); err != nil {
		return fmt.Errorf("install metrics: %w", err)
	}
	return nil
}

// nodeMetrics are this package's own series.
type nodeMetrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	batchCommands prometheus.Histogram
	commits       prometheus.Histogram
	appends       prometheus.Histogram
	pauses        prometheus.Histogram
	failures      *prometheus.CounterVec
	forwarded     prometheus.Counter
	retries       prometheus.Counter
	rounds        prometheus.Counter
	elections     prometheus.Counter
	leaders       prometheus.Counter
}

func newNodeMetrics(n *Node, registerer prometheus.Registerer) (*nodeMetrics, error) {
	m := &nodeMetrics{registerer: registerer}
	m.makeHistograms()
	m.makeCounters(n)
	m.makeGauges(n)
	m.all = append(m.all, newMemberCollector(n))
	if registerer == nil {
		return m, nil
	}
	var faults []error
	for _, c := range m.all {
		faults = append(faults, registerer.Register(c))
	}
	if err := errors.Join(faults...); err != nil {
		m.close()
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func (m *nodeMetrics) makeHistograms() {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "holdfast", Subsystem: "cluster", Name: name, Help: help, Buckets: buckets,
		})
		m.all = append(m.all, h)
		return h
	}
	short := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	m.batchCommands = histogram("batch_commands", "Commands in one log entry or one call to the leader.", prometheus.ExponentialBuckets(1, 2, 10))
	m.commits = histogram("commit_duration_seconds",
		"Seconds from a proposal on this node to the machine's reply, for commands that were committed.", short)
	m.appends = histogram("log_append_duration_seconds",
		"Seconds of one append to this node's log, its fsync included.", append([]float64{.0001, .00025}, short...))
	m.pauses = histogram("write_pause_seconds",
		"Seconds of each pause in which this node found no leader to write to, once it was over.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300})
}

func (m *nodeMetrics) makeCounters(n *Node) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "holdfast", Subsystem: "cluster", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(opts(name, help))
		m.all = append(m.all, c)
		return c
	}
	read := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewCounterFunc(opts(name, help), value))
	}
	m.failures = prometheus.NewCounterVec(opts("failed_proposals_total", "Commands of this node that were given up, by reason."), []string{"reason"})
	for _, e := range []*Error{ErrNoLeader, ErrOutcomeUnknown, ErrOverloaded, ErrDraining} {
		m.failures.WithLabelValues(e.Unavailable())
	}
	m.all = append(m.all, m.failures)
	m.forwarded = counter("forwarded_commands_total", "Commands sent to the leader by this node.")
	m.retries = counter("retried_attempts_total", "Attempts to propose that were not executed or of unknown outcome.")
	m.rounds = counter("freshness_rounds_total", "Rounds in which this node, as the leader, proved that it still leads.")
	m.elections = counter("elections_won_total", "Elections won by this node.")
	m.leaders = counter("leader_changes_total", "Times that this node saw somebody become the leader, its first leader included.")
	read("write_pause_seconds_total", "Seconds in which this node found no leader to write to, a pause that goes on included.",
		func() float64 { return n.pauses.spent().Seconds() })
	read("state_hash_comparisons_total", "Comparisons of a member's state hash with this leader's at one index.",
		func() float64 { return float64(n.followers.comparisons.Load()) })
	read("state_hash_mismatches_total", "Times that this leader found a member whose state hash differs.",
		func() float64 { return float64(n.followers.mismatches.Load()) })
	read("snapshots_total", "Times that the table was flushed so that the log could be cut.",
		func() float64 { return float64(n.counts.taken.Load()) })
	read("states_sent_total", "Whole states that this leader exported for members too far behind for the log.",
		func() float64 { return float64(n.counts.exported.Load()) })
	read("states_received_total", "Whole states that this node took over from a leader.",
		func() float64 { return float64(n.counts.installed.Load()) })
}

func (m *nodeMetrics) makeGauges(n *Node) {
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "holdfast", Subsystem: "cluster", Name: name, Help: help}, value))
	}
	flag := func(name, help string, value func() bool) {
		gauge(name, help, func() float64 { return number(value()) })
	}
	gauge("freshness_age_seconds", "Age of this node's last proof of freshness in seconds; -1 if it has none.", func() float64 {
		if n.fresh.answer.Load() == nil {
			return -1
		}
		return n.FreshAge().Seconds()
	})
	gauge("state_hash_age_seconds", "On the leader: seconds since the state hash of each member was compared, of the longest ago; else 0.", func() float64 {
		return n.comparedAge().Seconds()
	})
	gauge("log_file_free_bytes", "Bytes of the log's file that hold nothing; holdfast compact gives them back.",
		func() float64 { return float64(n.LogFreeBytes()) })
	gauge("applied_index", "Last log index that the machine has applied.", func() float64 { return float64(n.mark.applied()) })
	gauge("lag_entries", "Entries between the end of the leader's log, as last heard, and what this node has applied.", n.lag)
	gauge("term", "Raft's term, as this node knows it.", func() float64 {
		if r := n.raft.Load(); r != nil {
			return float64(r.CurrentTerm())
		}
		return 0
	})
	gauge("feature_level", "Feature level that the cluster has reached, as this node has applied it.", func() float64 {
		reached, _ := n.machine.Level()
		return float64(reached)
	})
	gauge("feature_level_known", "Highest feature level that this node's release knows.", func() float64 {
		_, known := n.machine.Level()
		return float64(known)
	})
	gauge("index_waiters", "Requests that wait for an index.", func() float64 { return float64(n.mark.waiting.Load()) })
	gauge("queued_commands", "Commands that wait for a batch.", func() float64 { return float64(n.batcher.depth()) })
	flag("leading", "1 on the leader, 0 elsewhere.", n.Leading)
	flag("leader_known", "1 if this node knows who leads, 0 if not.", func() bool { _, ok := n.Leader(); return ok })
	flag("member", "1 if this node is in the cluster's configuration, 0 if not.", n.isMember)
}

// lag is how far this node is behind the leader's log as of its last proof.
func (n *Node) lag() float64 {
	f := n.fresh.answer.Load()
	if f == nil {
		return 0
	}
	return max(0, float64(f.last)-float64(n.mark.applied()))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// committed takes one proposal's fate.
func (m *nodeMetrics) committed(began time.Time, err error) {
	if err == nil {
		m.commits.Observe(time.Since(began).Seconds())
		return
	}
	if known, ok := errors.AsType[*Error](err); ok {
		m.failures.WithLabelValues(known.Unavailable()).Inc()
	}
}

func (m *nodeMetrics) close() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}
