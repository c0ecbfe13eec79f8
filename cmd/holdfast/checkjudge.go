package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/api"
)

// sight is what check has seen.
type sight struct {
	nodes []probed
	// status is what one of them says of the whole cluster; nil without a key.
	status      *api.Status
	statusFault error // why no node could say, with a key
}

// judge compares what was seen with the limits. Figures that nobody showed are left out.
func (l *limits) judge(s sight, now time.Time) (findings []finding, figures []figureOf) {
	add := func(f finding, more ...figureOf) {
		findings = append(findings, f)
		figures = append(figures, more...)
	}
	if s.statusFault != nil {
		add(finding{level: bad, what: "status", text: s.statusFault.Error()})
	}
	f, down := l.judgeNodes(s)
	add(f, down...)
	if f, ok := judgeLeader(s); ok {
		add(f)
	}
	if tolerance, ok := s.tolerance(); ok {
		add(finding{level: l.tolerance.level(tolerance), what: "tolerance", text: fmt.Sprintf("survives the loss of %d more %s", tolerance, plural(tolerance, "node"))},
			counted("tolerance", tolerance, "", l.tolerance))
	}
	if lag, who, ok := s.lag(); ok {
		add(exceeded(l.lag.level(lag), "lag", "%s is %d entries behind", who, lag), counted("lag", lag, "", l.lag))
	}
	if age, who, ok := s.freshness(); ok {
		add(exceeded(l.fresh.level(age), "fresh", "%s was last proved fresh %s ago", who, age.Round(time.Millisecond)), timed("fresh", age, l.fresh))
	}
	if left, whose, ok := s.certificate(now); ok {
		add(exceeded(l.cert.level(left), "certificate", "%s ends in %s", whose, days(left)), timed("certificate", left, l.cert))
	}
	if free, who, ok := s.disk(); ok {
		add(exceeded(l.disk.level(free), "disk", "%d %% of the disk of %s is free", free, who), counted("disk_free", free, "%", l.disk))
	}
	return worthSaying(findings), figures
}

// exceeded is a finding that is silent while all is well.
func exceeded(l level, what, format string, args ...any) finding {
	if l == fine {
		return finding{what: what}
	}
	return finding{level: l, what: what, text: fmt.Sprintf(format, args...)}
}

func worthSaying(findings []finding) []finding {
	var said []finding
	for _, f := range findings {
		if f.text != "" {
			said = append(said, f)
		}
	}
	return said
}

// judgeNodes counts those that are down or not well: the members where their state is known, and the nodes that were
// asked where that says more.
func (l *limits) judgeNodes(s sight) (finding, []figureOf) {
	var unwell []string
	for _, n := range s.nodes {
		if n.fault != nil {
			unwell = append(unwell, n.fault.Error())
		} else if !n.ready {
			unwell = append(unwell, n.addr+" is not ready"+because(n.failing))
		}
	}
	all, down := len(s.nodes), len(unwell)
	if s.status != nil {
		var members []string
		for _, m := range s.status.Members {
			if !m.Healthy {
				members = append(members, fmt.Sprintf("%s %s", m.ID, orElse(m.Detail, "is not healthy")))
			}
		}
		if len(members) >= down {
			unwell, all, down = members, len(s.status.Members), len(members)
		}
	}
	figures := []figureOf{
		{label: "nodes", value: fmt.Sprint(all)},
		counted("down", down, "", l.down),
	}
	if down == 0 {
		return well("nodes", "%d %s well", all, plural(all, "node")), figures
	}
	f := finding{level: l.down.level(down), what: "nodes", text: strings.Join(unwell, ", ")}
	if down == all {
		f.level = bad
	}
	if f.level == fine { // as many as the limits allow
		f.text = fmt.Sprintf("%d of %d nodes well", all-down, all)
	}
	return f, figures
}

// judgeLeader says who leads; ok is false where nobody who was asked can know that there is none.
func judgeLeader(s sight) (f finding, ok bool) {
	if s.status != nil {
		if s.status.Leader == "" {
			return finding{level: bad, what: "leader", text: "there is no leader"}, true
		}
		return well("leader", "%s leads", s.status.Leader), true
	}
	for _, n := range s.nodes {
		if n.leads {
			return well("leader", "%s leads", n.addr), true
		}
	}
	return finding{}, false
}

func because(failing []api.Check) string {
	if len(failing) == 0 {
		return ""
	}
	text := " (" + failing[0].Name
	if failing[0].Detail != "" {
		text += ": " + failing[0].Detail
	}
	return text + ")"
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// days writes a long time for people.
func days(d time.Duration) string {
	if d < 0 {
		return "the past"
	}
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}
