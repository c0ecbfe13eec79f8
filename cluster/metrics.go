package cluster

import (
	"errors"
	"fmt"

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
	forwarded     prometheus.Counter
	retries       prometheus.Counter
	rounds        prometheus.Counter
	elections     prometheus.Counter
}

func newNodeMetrics(n *Node, registerer prometheus.Registerer) (*nodeMetrics, error) {
	m := &nodeMetrics{registerer: registerer}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "holdfast", Subsystem: "cluster", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "holdfast", Subsystem: "cluster", Name: name, Help: help}, value))
	}
	m.batchCommands = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "holdfast", Subsystem: "cluster", Name: "batch_commands",
		Help:    "Commands in one log entry or one call to the leader.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})
	m.all = append(m.all, m.batchCommands)
	m.forwarded = counter("forwarded_commands_total", "Commands sent to the leader by this node.")
	m.retries = counter("retried_attempts_total", "Attempts to propose that were not executed or of unknown outcome.")
	m.rounds = counter("freshness_rounds_total", "Rounds in which this node, as the leader, proved that it still leads.")
	m.elections = counter("elections_won_total", "Elections won by this node.")
	gauge("freshness_age_seconds", "Age of this node's last proof of freshness; -1 if it has none.", func() float64 {
		if n.fresh.answer.Load() == nil {
			return -1
		}
		return n.FreshAge().Seconds()
	})
	gauge("applied_index", "Last log index that the machine has applied.", func() float64 { return float64(n.mark.applied()) })
	gauge("index_waiters", "Requests that wait for an index.", func() float64 { return float64(n.mark.waiting.Load()) })
	gauge("queued_commands", "Commands that wait for a batch.", func() float64 { return float64(n.batcher.depth()) })
	gauge("leading", "1 on the leader.", func() float64 {
		if n.Leading() {
			return 1
		}
		return 0
	})
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

func (m *nodeMetrics) close() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}
