package main

import (
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newFlushHistogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_storage_flush_duration_seconds", Help: "Seconds of one flush of memory to the file, its fsync included.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
}

// diskFigures are of the disk that holds the data directory, and of the log's file on it.
type diskFigures struct {
	free, size, log int64
	low             bool
}

func diskCollector(dir string, d *disk) prometheus.Collector {
	c := &collector[diskFigures]{read: func() diskFigures {
		f := diskFigures{low: d.low.Load()}
		f.free, f.size, _ = diskSpace(dir) // zeros where the system does not tell
		if stat, err := os.Stat(filepath.Join(dir, "raft.db")); err == nil {
			f.log = stat.Size()
		}
		return f
	}}
	c.add("disk", "free_bytes", "Bytes that this process may still use on the disk of the data directory.", gauge, func(f diskFigures) float64 { return float64(f.free) })
	c.add("disk", "size_bytes", "Size in bytes of the disk of the data directory.", gauge, func(f diskFigures) float64 { return float64(f.size) })
	c.add("disk", "low", "1 while writes that need room are refused, as the disk is nearly full; else 0.", gauge, func(f diskFigures) float64 { return number(f.low) })
	c.add("disk", "low_mark_bytes", "Bytes of free room below which the disk counts as nearly full.", gauge, func(diskFigures) float64 { return float64(d.mark) })
	c.add("disk", "reserve_bytes", "Bytes of the file that is removed to make room when the disk is all but full; 0 while it is not there.", gauge, func(diskFigures) float64 {
		if d.reserve == nil || !d.reserve.kept.Load() {
			return 0
		}
		return float64(d.reserve.size)
	})
	c.add("disk", "reserve_released_total", "Times that the reserve was given back.", counter, func(diskFigures) float64 {
		if d.reserve == nil {
			return 0
		}
		return float64(d.reserve.released.Load())
	})
	c.add("log", "file_bytes", "Size in bytes of the log's file.", gauge, func(f diskFigures) float64 { return float64(f.log) })
	return c
}

// nodeCollector shows what this node is, and which certificate and keys it has.
type nodeCollector struct {
	s                        *Server
	build, certificate, keys *prometheus.Desc
}

func newNodeCollector(s *Server) *nodeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
	}
	return &nodeCollector{
		s:           s,
		build:       desc("build_info", "Always 1: the version of this program and of Go.", "version", "go_version"),
		certificate: desc("http_certificate_not_after_timestamp_seconds", "Unix time in seconds until which the certificate of --tls-cert is good."),
		keys:        desc("http_keys_info", "Always 1: the digest of the keys file, which must be the same on every node and tells nothing of the keys.", "digest"),
	}
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.build, c.certificate, c.keys} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(c.build, 1, versionText(), runtime.Version())
	if end, ok := c.s.credentials.certificateEnd(); ok {
		gauge(c.certificate, float64(end.Unix()))
	}
	if digest := c.s.credentials.digest(); digest != "" {
		gauge(c.keys, 1, digest)
	}
}

// certificateEnd is when the HTTP certificate's time is over, if there is one.
func (c *credentials) certificateEnd() (end time.Time, ok bool) {
	if c.certificate == nil {
		return end, false
	}
	pair := c.certificate.current.Load()
	if pair == nil || pair.Leaf == nil {
		return end, false
	}
	return pair.Leaf.NotAfter, true
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
