package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew, from what running nodes show")

const metricsDocument = "../../docs/metrics.md"

// family is one row of the document: all series of one name.
type family struct {
	kind, help string
	labels     map[string]bool
}

// families collects what nodes show.
type families map[string]*family

func (all families) add(seen *dto.MetricFamily) {
	f := all[seen.GetName()]
	if f == nil {
		f = &family{kind: strings.ToLower(seen.GetType().String()), help: seen.GetHelp(), labels: make(map[string]bool)}
		all[seen.GetName()] = f
	}
	for _, m := range seen.GetMetric() {
		for _, l := range m.GetLabel() {
			f.labels[l.GetName()] = true
		}
	}
}

// scrapeInto reads /metrics of a running process as Prometheus does.
func scrapeInto(t *testing.T, all families, n *processNode) {
	t.Helper()
	got := n.ask("GET", "/metrics", "", "")
	if got.status != http.StatusOK {
		t.Fatal(got)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parsed {
		all.add(f)
	}
}

// runningFamilies starts three nodes as processes, which have the series of the libraries too, and one with all that
// only shows where a flag asks for it.
func runningFamilies(t *testing.T) families {
	t.Helper()
	all := make(families)
	c := startProcesses(t, 3)
	session := c.nodes[0].create(`{"n":1}`)
	old := c.leader()
	old.stopWell()
	rest := c.others(old)
	for _, n := range rest {
		if got := n.ask("PATCH", "/api/sessions/current/", session, `{"n":2}`); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	old.start()
	old.awaitReady()
	c.converge()
	for _, n := range c.nodes {
		n.ask("GET", "/api/sessions/current/", session, "")
		scrapeInto(t, all, n)
	}
	cert, key := testCertificate(t)
	more := newTestCluster(t, 1, "--tls-cert", cert, "--tls-key", key, "--snapshot-schedule", "1h", "--snapshot-dir", t.TempDir(),
		"--trace-endpoint", "http://127.0.0.1:1", "--trace-ratio", "0")
	gathered, err := more.nodes[0].server.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range gathered {
		all.add(f)
	}
	declaredByLibraries(t, all)
	return all
}

// declaration finds a series in the source of a library that reports to go-metrics. Those whose names are put together
// at run time are not found; they show when they are counted.
var declaration = regexp.MustCompile(`(?:metrics\.)?(IncrCounter|AddSample|MeasureSince|SetGauge|newSaturationMetric)(?:WithLabels)?\(\[\]string\{((?:"\w+"(?:, )?)+)\}`)

// declaredByLibraries adds what the libraries may show one day: an election that is lost, a member that is suspected.
func declaredByLibraries(t *testing.T, all families) {
	t.Helper()
	kinds := map[string]string{"IncrCounter": "counter", "AddSample": "summary", "MeasureSince": "summary", "SetGauge": "gauge", "newSaturationMetric": "summary"}
	if name := "holdfast_raft_leader_oldestLogAge"; all[name] == nil {
		all[name] = &family{kind: "gauge", labels: make(map[string]bool)} // Raft puts this one together
	}
	for _, library := range []string{"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2", "github.com/hashicorp/memberlist"} {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", library).Output()
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no source: %v", library, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range declaration.FindAllStringSubmatch(string(source), -1) {
				name := "holdfast_" + strings.Join(strings.Split(strings.Trim(found[2], `"`), `", "`), "_")
				if !strings.HasSuffix(file, "_test.go") && all[name] == nil {
					all[name] = &family{kind: kinds[found[1]], help: name, labels: make(map[string]bool)}
				}
			}
		}
	}
}

// The sections of the document, in order. A family belongs to the first whose pattern matches its name.
var sections = []struct {
	title, says string
	pattern     *regexp.Regexp
	ours        bool
}{
	{
		title:   "Libraries",
		says:    "Series of Raft, raft-boltdb and memberlist, as they name them. They appear when they are first counted, so some are on the leader only, or only after something rare, and a summary goes when it has had no value for a minute. Summaries of times are in **milliseconds**.",
		pattern: regexp.MustCompile(`^holdfast_(raft|memberlist|libraries)_`),
	},
	{title: "HTTP", pattern: regexp.MustCompile(`^holdfast_(http|ready)`), ours: true},
	{title: "Cluster", pattern: regexp.MustCompile(`^holdfast_cluster_`), ours: true},
	{
		title: "Sessions and events", pattern: regexp.MustCompile(`^holdfast_(sessions|sweeper|touches|events)_`), ours: true,
		says: "Where it is not said otherwise, `holdfast_sessions_…` are the same on every node that has applied the same log.",
	},
	{title: "Storage and disk", pattern: regexp.MustCompile(`^holdfast_(storage|disk|log|scrub|archive|snapshot)`), ours: true},
	{title: "The node", pattern: regexp.MustCompile(`^holdfast_`), ours: true},
	{
		title: "Go and the process", says: "The most useful series of client_golang; what else there is depends on the release of Go and on the system.",
		pattern: regexp.MustCompile(`^(process_|go_(goroutines|threads|info|gc_duration_seconds|memstats_(sys|heap_inuse|next_gc)_bytes)$)`),
	},
}

func sectionOf(name string) int {
	for i, s := range sections {
		if s.pattern.MatchString(name) {
			return i
		}
	}
	return -1
}

const metricsPreface = `# Metrics

` + "`GET /metrics`" + ` answers in the text format of Prometheus, on ` + "`http-addr`" + `, or on ` + "`admin-addr`" + ` alone if there is one. No series
holds a token, a key, a user or any session data. The alerts and the dashboard that use these series are in
[deploy/monitoring](../deploy/monitoring/README.md), what to do when one fires in [runbooks](runbooks/README.md).

This file is written by ` + "`go test ./cmd/holdfast -run TestTheDocumentOfMetrics -update`" + ` from what running nodes show, and
a test fails where it differs from them.
`

// document renders the families.
func document(all families) []byte {
	var out bytes.Buffer
	out.WriteString(metricsPreface)
	order := slices.Concat([]int{1, 2, 3, 4, 5, 0}, []int{6})
	for _, i := range order {
		s := sections[i]
		fmt.Fprintf(&out, "\n## %s\n\n", s.title)
		if s.says != "" {
			fmt.Fprintf(&out, "%s\n\n", s.says)
		}
		out.WriteString("| Series | Type | Labels | |\n|---|---|---|---|\n")
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if sectionOf(name) != i {
				continue
			}
			f := all[name]
			text := f.help
			if !s.ours && s.title == "Libraries" {
				text = ""
			}
			if note := metricNotes[name]; note != "" {
				text = strings.TrimSpace(text + " *" + note + "*")
			}
			var labels []string
			for _, l := range slices.Sorted(maps.Keys(f.labels)) {
				labels = append(labels, "`"+l+"`")
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(labels, ", "), strings.ReplaceAll(text, "|", `\|`))
		}
	}
	return out.Bytes()
}

var documentRow = regexp.MustCompile("(?m)^\\| `([a-zA-Z_:][a-zA-Z0-9_:]*)` \\| (\\w+) \\| ([^|]*) \\| (.*) \\|$")

// documented reads the document's rows.
func documented(t *testing.T) families {
	t.Helper()
	raw, err := os.ReadFile(metricsDocument)
	if err != nil {
		t.Fatal(err)
	}
	all := make(families)
	for _, row := range documentRow.FindAllStringSubmatch(string(raw), -1) {
		f := &family{kind: row[2], help: row[4], labels: make(map[string]bool)}
		for l := range strings.SplitSeq(row[3], ", ") {
			if l = strings.Trim(l, "` "); l != "" {
				f.labels[l] = true
			}
		}
		all[row[1]] = f
	}
	return all
}

func TestTheDocumentOfMetricsIsCompleteAndTrue(t *testing.T) {
	seen := runningFamilies(t)
	if *update {
		if err := os.WriteFile(metricsDocument, document(seen), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written := documented(t)
	for name, f := range seen {
		i := sectionOf(name)
		if !strings.HasPrefix(name, "holdfast_") {
			continue // Go's and the process's are of the machine that wrote the document
		}
		row := written[name]
		switch {
		case row == nil:
			t.Errorf("%s is shown and not in docs/metrics.md: run this test with -update", name)
			continue
		case row.kind != f.kind:
			t.Errorf("%s is a %s, docs/metrics.md says %s", name, f.kind, row.kind)
		}
		if !sections[i].ours {
			continue
		}
		if !strings.HasPrefix(row.help, strings.ReplaceAll(f.help, "|", `\|`)) {
			t.Errorf("%s: docs/metrics.md says %q, the node %q: run this test with -update", name, row.help, f.help)
		}
		if !maps.Equal(row.labels, f.labels) {
			t.Errorf("%s: labels %v, docs/metrics.md has %v", name, f.labels, row.labels)
		}
		checkFamily(t, name, f)
	}
	for name := range written {
		if i := sectionOf(name); i >= 0 && sections[i].ours && seen[name] == nil {
			t.Errorf("%s is in docs/metrics.md and no node shows it", name)
		}
	}
	for name := range metricNotes {
		if written[name] == nil {
			t.Errorf("there is a note on %s, which does not exist", name)
		}
	}
}

// checkFamily holds a name and its help text to Prometheus's conventions: base units, named by both.
func checkFamily(t *testing.T, name string, f *family) {
	t.Helper()
	if !strings.HasSuffix(f.help, ".") || len(f.help) < 12 {
		t.Errorf("%s: the help text %q is no sentence", name, f.help)
	}
	if counts := strings.HasSuffix(name, "_total"); counts != (f.kind == "counter") {
		t.Errorf("%s is a %s: counters, and they alone, end in _total", name, f.kind)
	}
	bare := strings.TrimSuffix(name, "_total")
	for suffix, unit := range map[string]string{"_seconds": "second", "_bytes": "byte"} {
		if strings.HasSuffix(bare, suffix) && !strings.Contains(strings.ToLower(f.help), unit) {
			t.Errorf("%s: the help text %q does not name the unit", name, f.help)
		}
	}
	for _, wrong := range []string{"_ms", "_milliseconds", "_kb", "_mb", "_percent", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(bare, wrong) {
			t.Errorf("%s: a name must not end in %s", name, wrong)
		}
	}
}
