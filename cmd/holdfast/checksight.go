package main

import (
	"cmp"
	"time"
)

// Series that check and doctor read.
const (
	seriesTolerance   = "holdfast_cluster_failure_tolerance"
	seriesLag         = "holdfast_cluster_member_lag_entries"
	seriesFresh       = "holdfast_cluster_freshness_age_seconds"
	seriesCertificate = "holdfast_cluster_certificate_not_after_timestamp_seconds"
	seriesDiskFree    = "holdfast_disk_free_bytes"
	seriesDiskSize    = "holdfast_disk_size_bytes"
)

// worstOf keeps the worst of several values, and who has it.
type worstOf[T cmp.Ordered] struct {
	value    T
	who      string
	ok       bool
	lowIsBad bool
}

func (w *worstOf[T]) add(value T, who string) {
	if !w.ok || (value < w.value) == w.lowIsBad && value != w.value {
		w.value, w.who, w.ok = value, who, true
	}
}

// tolerance is what the cluster's status says, or its leader.
func (s sight) tolerance() (int, bool) {
	if s.status != nil {
		return s.status.FailureTolerance, true
	}
	for _, n := range s.nodes {
		if value, ok := n.least(seriesTolerance); ok && n.leads {
			return int(value), true
		}
	}
	return 0, false
}

func (s sight) lag() (int, string, bool) {
	var w worstOf[int]
	if s.status != nil {
		for _, m := range s.status.Members {
			if m.State != stateDown {
				w.add(int(m.Lag), m.ID)
			}
		}
	}
	for _, n := range s.nodes {
		if value, ok := n.most(seriesLag); ok && n.leads {
			w.add(int(value), "a member")
		}
	}
	return w.value, w.who, w.ok
}

// freshness is the age of the oldest proof. A node that has none is not ready, and is told of as such.
func (s sight) freshness() (time.Duration, string, bool) {
	var w worstOf[time.Duration]
	if s.status != nil {
		for _, m := range s.status.Members {
			if m.State != stateDown && m.LastContactMS >= 0 {
				w.add(time.Duration(m.LastContactMS)*time.Millisecond, m.ID)
			}
		}
	}
	for _, n := range s.nodes {
		if value, ok := n.most(seriesFresh); ok && value >= 0 {
			w.add(secondsOf(value), n.addr)
		}
	}
	return w.value, w.who, w.ok
}

// certificate is how long the first certificate to end is still good.
func (s sight) certificate(now time.Time) (time.Duration, string, bool) {
	w := worstOf[time.Duration]{lowIsBad: true}
	for _, n := range s.nodes {
		if !n.tlsUntil.IsZero() {
			w.add(n.tlsUntil.Sub(now), "the certificate of "+n.addr)
		}
		if until, ok := n.least(seriesHTTPCertificate); ok && until > 0 {
			w.add(time.Unix(int64(until), 0).Sub(now), "the HTTP certificate of "+n.addr)
		}
		if until, ok := n.least(seriesCertificate); ok {
			w.add(time.Unix(int64(until), 0).Sub(now), "the certificate between nodes of "+n.addr)
		}
	}
	return w.value, w.who, w.ok
}

// disk is the smallest free part of a disk, in percent.
func (s sight) disk() (int, string, bool) {
	w := worstOf[int]{lowIsBad: true}
	if s.status != nil {
		for _, m := range s.status.Members {
			if m.State != stateDown && m.DiskSizeBytes > 0 {
				w.add(int(m.DiskFreeBytes*100/m.DiskSizeBytes), m.ID)
			}
		}
	}
	for _, n := range s.nodes {
		free, known := n.least(seriesDiskFree)
		size, alsoKnown := n.least(seriesDiskSize)
		if known && alsoKnown && size > 0 {
			w.add(int(free*100/size), n.addr)
		}
	}
	return w.value, w.who, w.ok
}

func secondsOf(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
