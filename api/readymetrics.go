package api

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// readyCollector shows what /readyz says, so that it is known how long a node was not ready, and why.
type readyCollector struct {
	s            *Server
	ready, check *prometheus.Desc
}

func newReadyCollector(s *Server) *readyCollector {
	return &readyCollector{
		s:     s,
		ready: prometheus.NewDesc("holdfast_ready", "1 if this node may be sent requests, as /readyz says; else 0.", nil, nil),
		check: prometheus.NewDesc("holdfast_ready_check", "1 if the check of /readyz is passed, else 0.", []string{"check"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (r *readyCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- r.ready
	descs <- r.check
}

// Collect implements prometheus.Collector.
func (r *readyCollector) Collect(to chan<- prometheus.Metric) {
	ready := 1.0
	for _, check := range r.s.checks(context.Background()) {
		ok := 1.0
		if !check.OK {
			ok, ready = 0, 0
		}
		to <- prometheus.MustNewConstMetric(r.check, prometheus.GaugeValue, ok, check.Name)
	}
	to <- prometheus.MustNewConstMetric(r.ready, prometheus.GaugeValue, ready)
}
