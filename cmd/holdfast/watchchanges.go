package main

import (
	"fmt"

	"github.com/holdfastdb/holdfast/api"
)

// changes says in sentences what is otherwise than before, as far as an operator would want to be told: not the figures
// that change with every look.
func (w *watched) changes(now *watched) []string {
	switch {
	case now.status == nil && w.status == nil && w.silence != "":
		return nil
	case now.status == nil:
		return []string{"no node answers: " + printable(now.silence)}
	case !w.seen:
		return firstSight(*now.status)
	case w.status == nil:
		return append([]string{fmt.Sprintf("%s answers", now.from)}, firstSight(*now.status)...)
	}
	changes := statusChanges(*w.status, *now.status)
	if w.from != now.from {
		changes = append([]string{fmt.Sprintf("%s does not answer, or knows of no leader; %s is asked now", w.from, now.from)}, changes...)
	}
	return changes
}

// firstSight is what there is to say of a cluster that was not seen before.
func firstSight(s api.Status) []string {
	said := []string{fmt.Sprintf("cluster %s, term %d, leader %s", printable(s.Cluster), s.Term, leaderName(s))}
	for _, m := range s.Members {
		said = append(said, fmt.Sprintf("%s is %s%s%s", printable(m.ID), printable(m.State), unvoiced(m), unwell(m)))
	}
	return append(said, verdict(s))
}

func statusChanges(old, now api.Status) []string {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if old.Cluster != now.Cluster {
		say("the cluster is %s (was %s): a restored archive, or another cluster", printable(now.Cluster), printable(old.Cluster))
	}
	if old.Leader != now.Leader {
		say("leader %s (was %s), term %d", leaderName(now), leaderName(old), now.Term)
	} else if old.Term != now.Term {
		say("term %d (was %d), the leader is still %s", now.Term, old.Term, leaderName(now))
	}
	if old.FeatureLevel != now.FeatureLevel {
		say("feature level %d (was %d)", now.FeatureLevel, old.FeatureLevel)
	}
	before := make(map[string]api.Member, len(old.Members))
	for _, m := range old.Members {
		before[m.ID] = m
	}
	for _, m := range now.Members {
		was, known := before[m.ID]
		delete(before, m.ID)
		if !known {
			say("%s is new: %s%s%s", printable(m.ID), printable(m.State), unvoiced(m), unwell(m))
			continue
		}
		said = append(said, memberChanges(was, m)...)
	}
	for _, m := range old.Members { // in their order
		if _, gone := before[m.ID]; gone {
			say("%s is not a member any more", printable(m.ID))
		}
	}
	if was, is := keysDiffer(old), keysDiffer(now); was != is {
		say("%s", map[bool]string{true: "the nodes' keys files differ", false: "the nodes' keys files are the same again"}[is])
	}
	if was, is := clusterKeysDiffer(old), clusterKeysDiffer(now); was != is {
		say("%s", map[bool]string{true: "the nodes' cluster keys differ", false: "the nodes' cluster keys are the same again"}[is])
	}
	if was, is := verdict(old), verdict(now); was != is {
		say("%s", is)
	}
	return said
}

func memberChanges(was, m api.Member) []string {
	var said []string
	say := func(format string, args ...any) {
		said = append(said, printable(m.ID)+" "+fmt.Sprintf(format, args...))
	}
	if was.State != m.State {
		say("is %s (was %s)%s", printable(m.State), printable(was.State), unwell(m))
	} else if was.Healthy != m.Healthy {
		say("is %s", map[bool]string{true: "well again", false: "not well" + unwell(m)}[m.Healthy])
	}
	if was.Voter != m.Voter {
		say("%s", map[bool]string{true: "has a vote now", false: "has no vote any more"}[m.Voter])
	}
	if was.Demoted != m.Demoted {
		say("%s", map[bool]string{true: "was demoted by an operator", false: "is no longer demoted"}[m.Demoted])
	}
	if m.State == stateDown || was.State == stateDown && was.Version == "" {
		return said // what it would say of itself is not known, or was not
	}
	for _, field := range []struct{ name, was, is string }{
		{"version", was.Version, m.Version},
		{"role", was.Role, m.Role},
		{"zone", was.Zone, m.Zone},
		{"http address", was.HTTPAddr, m.HTTPAddr},
		{"cluster address", was.ClusterAddr, m.ClusterAddr},
	} {
		if field.was != field.is {
			say("has %s %s (was %s)", field.name, printable(orElse(field.is, "none")), printable(orElse(field.was, "none")))
		}
	}
	return said
}

func unvoiced(m api.Member) string {
	if m.Voter {
		return ""
	}
	return ", without a vote"
}

func unwell(m api.Member) string {
	if m.Healthy || m.Detail == "" {
		return ""
	}
	return ": " + printable(m.Detail)
}
