package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

const (
	monitoring  = "../../deploy/monitoring/"
	runbooks    = "../../docs/runbooks/"
	runbookURLs = "https://github.com/holdfastdb/holdfast/blob/main/docs/runbooks/"
)

type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alertRule
		}
	}
	readYAML(t, "alerts.yaml", &file)
	var all []alertRule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d alerts were read", len(all))
	}
	return all
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(monitoring + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// seriesName finds names of series in an expression or a text.
var seriesName = regexp.MustCompile(`\b(?:holdfast|process|go)_[a-zA-Z0-9_]+\b`)

// checkSeries demands that all series of an expression exist, a histogram's parts by their suffixes.
func checkSeries(t *testing.T, where, expr string, known families) {
	t.Helper()
	for _, name := range seriesName.FindAllString(expr, -1) {
		f := known[name]
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if whole, cut := strings.CutSuffix(name, part); cut && f == nil && known[whole] != nil && known[whole].kind == "histogram" {
				f = known[whole]
			}
		}
		if f == nil {
			t.Errorf("%s uses %s, which is not in docs/metrics.md", where, name)
		}
	}
}

func TestAlertsPassPrometheussOwnChecks(t *testing.T) {
	promtool := needed.Program(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}, {"check", "config", "prometheus.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestEveryAlertHasATestThatFiresAndOneThatDoesNot(t *testing.T) {
	var file struct {
		Tests []struct {
			Rules []struct {
				Name   string           `yaml:"alertname"`
				Alerts []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, "alerts_test.yaml", &file)
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, one := range file.Tests {
		for _, rule := range one.Rules {
			if len(rule.Alerts) > 0 {
				fires[rule.Name] = true
			} else {
				silent[rule.Name] = true
			}
		}
	}
	for _, rule := range alertRules(t) {
		if !fires[rule.Alert] || !silent[rule.Alert] {
			t.Errorf("%s: a test that it fires: %v, one that it does not: %v", rule.Alert, fires[rule.Alert], silent[rule.Alert])
		}
	}
}

func TestAlertsUseSeriesThatExistAndHaveARunbookEach(t *testing.T) {
	known := documented(t)
	var named []string
	for _, rule := range alertRules(t) {
		checkSeries(t, rule.Alert, rule.Expr, known)
		if slices.Contains(named, rule.Alert) {
			t.Errorf("%s is there twice", rule.Alert)
		}
		named = append(named, rule.Alert)
		if got, want := rule.Annotations["runbook_url"], runbookURLs+rule.Alert+".md"; got != want {
			t.Errorf("%s: runbook_url is %q, want %q", rule.Alert, got, want)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s says nothing to whoever is woken", rule.Alert)
		}
		if s := rule.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", rule.Alert, s)
		}
	}
	files, err := filepath.Glob(runbooks + "*.md")
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(runbooks + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); name != "README" {
			written = append(written, name)
			if !strings.Contains(string(index), "("+name+".md)") {
				t.Errorf("%s is not in docs/runbooks/README.md", name)
			}
		}
	}
	slices.Sort(named)
	slices.Sort(written)
	if !slices.Equal(named, written) {
		t.Errorf("alerts %v\nrunbooks %v", named, written)
	}
}
