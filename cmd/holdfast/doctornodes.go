package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	seriesHTTPCertificate = "holdfast_http_certificate_not_after_timestamp_seconds"
	seriesClusterKey      = "holdfast_cluster_key_info"
	seriesDiskLow         = "holdfast_disk_low"
	seriesTableBytes      = "holdfast_storage_file_bytes"
	seriesArchived        = "holdfast_archive_last_success_timestamp_seconds"
	seriesOpenFiles       = "process_open_fds"
	seriesMaxFiles        = "process_max_fds"
	seriesAppend          = "holdfast_cluster_log_append_duration_seconds"
	seriesTableFreePages  = "holdfast_storage_file_free_pages"

	pageBytes       = 4096
	compactionWorth = 256 << 20 // bytes that would be given back
	archiveOld      = 48 * time.Hour
)

// nodeFindings judges what each node shows of itself: its metrics, its certificate, its clock.
func nodeFindings(s sight, now time.Time) []finding {
	return slices.Concat(unseenMetrics(s), certificatesFound(s, now), clusterKeysFound(s), lowDisks(s), compactions(s), processesFound(s), archivesFound(s, now), datesFound(s))
}

func unseenMetrics(s sight) []finding {
	var without []string
	for _, n := range s.nodes {
		if n.fault == nil && n.metrics == nil {
			without = append(without, n.name())
		}
	}
	if len(without) == 0 {
		return nil
	}
	return []finding{warning("metrics", "ask at --admin-addr: certificates, keys and files of these nodes were not looked at", "not shown at the address that was asked: %s", strings.Join(without, ", "))}
}

func certificatesFound(s sight, now time.Time) []finding {
	var found []finding
	first := worstOf[time.Duration]{lowIsBad: true}
	add := func(whose string, until time.Time, remedy string) {
		left := until.Sub(now)
		first.add(left, whose)
		switch {
		case left < certificateNow:
			found = append(found, failure("certificate", remedy, "%s ends in %s", whose, days(left)))
		case left < 7*24*time.Hour:
			found = append(found, warning("certificate", remedy, "%s ends in %s", whose, days(left)))
		}
	}
	for _, n := range s.nodes {
		const renew = "renew it, and send SIGHUP to the server"
		until, ok := n.least(seriesHTTPCertificate)
		if ok && until > 0 {
			add("the HTTP certificate of "+n.name(), time.Unix(int64(until), 0), renew)
		} else if !n.tlsUntil.IsZero() {
			add("the HTTP certificate of "+n.name(), n.tlsUntil, renew)
		}
		if until, ok := n.least(seriesCertificate); ok {
			add("the certificate between nodes of "+n.name(), time.Unix(int64(until), 0),
				"one's own is to be replaced; one that the node makes is renewed ten days before its end: look at its clock and its log")
		}
	}
	if found == nil && first.ok {
		found = append(found, well("certificate", "the first to end, %s, is good for %s", first.who, days(first.value)))
	}
	return found
}

// clusterKeysFound compares the names of the cluster keys that the nodes believe, the one that each signs with first: as
// the members say, or, without a key to ask them, as the metrics show.
func clusterKeysFound(s sight) []finding {
	held := make(map[string][]string) // keys to nodes
	most := 0
	hold := func(node string, keys []string) {
		if len(keys) > 0 {
			set := strings.Join(keys, ", ")
			held[set] = append(held[set], node)
			most = max(most, len(keys))
		}
	}
	if s.status != nil {
		for _, m := range s.status.Members {
			if m.State != stateDown {
				hold(m.ID, m.ClusterKeys)
			}
		}
	}
	if len(held) == 0 {
		for _, n := range s.nodes {
			hold(n.name(), shownKeys(n))
		}
	}
	const finish = "finish the rotation: holdfast cluster-key rotate"
	switch {
	case len(held) == 0:
		return nil
	case len(held) > 1:
		var texts []string
		for set, names := range held {
			texts = append(texts, fmt.Sprintf("%s: %s", strings.Join(names, ", "), set))
		}
		slices.Sort(texts)
		return []finding{warning("cluster-key", finish, "the nodes hold different keys: %s", strings.Join(texts, "; "))}
	case most > 1:
		return []finding{warning("cluster-key", finish+"; as long as the old key is valid, whoever has it can be any node", "%d keys are valid", most)}
	}
	return []finding{well("cluster-key", "all nodes that show theirs hold the same")}
}

// shownKeys are the names of the keys that a node's metrics show, each with its use.
func shownKeys(n probed) []string {
	var keys []string
	for _, m := range n.metrics[seriesClusterKey].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		keys = append(keys, fmt.Sprintf("%s (%s)", labels["key"], labels["use"]))
	}
	slices.Sort(keys)
	return keys
}

func lowDisks(s sight) []finding {
	var found []finding
	for _, n := range s.nodes {
		if low, ok := n.most(seriesDiskLow); ok && low > 0 {
			found = append(found, failure("disk", "make room: it refuses logins and patches until then", "%s is below --disk-low-bytes", n.name()))
		}
	}
	return found
}

// compactions finds tables that are much larger than what is in them.
func compactions(s sight) []finding {
	var found []finding
	for _, n := range s.nodes {
		size, known := n.most(seriesTableBytes)
		pages, alsoKnown := n.most(seriesTableFreePages)
		if free := pages * pageBytes; known && alsoKnown && free > compactionWorth && free > size/2 {
			found = append(found, warning("compact", "stop the node, run holdfast compact on its data directory, start it: one node at a time",
				"%.0f of %.0f MiB of the table of %s hold nothing", free/(1<<20), size/(1<<20), n.name()))
		}
	}
	return found
}

// processesFound looks at what each server has seen of its machine since it was started.
func processesFound(s sight) []finding {
	var found []finding
	for _, n := range s.nodes {
		open, known := n.most(seriesOpenFiles)
		limit, alsoKnown := n.most(seriesMaxFiles)
		if known && alsoKnown && open > limit*8/10 {
			found = append(found, warning("open-files", "raise its limit (LimitNOFILE in the unit), or lower --max-conns", "%s has %.0f files open of %.0f that it may", n.name(), open, limit))
		}
		for _, m := range n.metrics[seriesAppend].GetMetric() {
			appends := m.GetHistogram()
			if appends.GetSampleCount() == 0 {
				continue
			}
			mean := secondsOf(appends.GetSampleSum() / float64(appends.GetSampleCount()))
			if mean >= slowMedian {
				found = append(found, warning("fsync", "run holdfast doctor on that machine: every write waits for it on a majority of the nodes", "an append to the log of %s takes %s on average", n.name(), mean.Round(time.Microsecond)))
			}
		}
	}
	return found
}

// archivesFound says how old the newest archive is that some node has written by its schedule.
func archivesFound(s sight, now time.Time) []finding {
	var newest float64
	var who string
	shown, scheduled := false, false
	for _, n := range s.nodes {
		shown = shown || n.metrics != nil
		if at, ok := n.most(seriesArchived); ok {
			scheduled = true
			if at > newest {
				newest, who = at, n.name()
			}
		}
	}
	const remedy = "start a node with --snapshot-schedule and --snapshot-dir, or have something else run holdfast snapshot save"
	switch age := now.Sub(time.Unix(int64(newest), 0)); {
	case !shown:
		return nil
	case !scheduled:
		return []finding{warning("archives", remedy, "no node that was asked writes any")}
	case newest == 0:
		return []finding{warning("archives", "wait for the first, or read the log of the node that is to write it", "none has been written yet")}
	case age > archiveOld:
		return []finding{warning("archives", "read the log of the node that is to write them", "the newest is %s old, on %s", days(age), who)}
	default:
		return []finding{well("archives", "the newest is %s old, on %s", age.Round(time.Second), who)}
	}
}

// datesFound compares the clocks of nodes where the cluster does not: only differences that the header Date shows in
// spite of its whole seconds.
func datesFound(s sight) []finding {
	if s.status != nil {
		return nil
	}
	var found []finding
	for _, n := range s.nodes {
		if n.fault != nil || n.clockError < 0 {
			continue
		}
		if off := n.clockAhead.Abs() - n.clockError; off > clocksApart {
			found = append(found, warning("clocks", "run chronyd or systemd-timesyncd on both", "the clock of %s is at least %s from this machine's", n.name(), off.Round(time.Second)))
		}
	}
	return found
}
