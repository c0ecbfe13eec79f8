package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

type dashboardPanel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ H, W, X, Y int }
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string
	}
	FieldConfig struct{ Defaults struct{ Unit string } }
}

func readDashboard(t *testing.T) (panels []dashboardPanel) {
	t.Helper()
	raw, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID string
		Panels     []dashboardPanel
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	if board.Title == "" || board.UID == "" || len(board.Panels) < 40 {
		t.Fatalf("%q has %d panels", board.Title, len(board.Panels))
	}
	return board.Panels
}

func TestPrometheusUnderstandsEveryQueryOfTheDashboard(t *testing.T) {
	promtool := needed.Program(t, "promtool")
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, p := range readDashboard(t) {
		for _, target := range p.Targets {
			query, err := json.Marshal(variables.Replace(target.Expr))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rules, "  - record: panel_%d:%s\n    expr: %s\n", p.ID, target.RefID, query)
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheDashboardIsWholeAndUsesSeriesThatExist(t *testing.T) {
	panels := readDashboard(t)
	known := documented(t)
	used, ids, taken := make(map[string]bool), make(map[int]string), make(map[[2]int]string)
	for _, p := range panels {
		if other := ids[p.ID]; other != "" || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d of %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies upon %q or out of the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q shows nothing, or in no unit", p.Title)
		}
		for _, target := range p.Targets {
			checkSeries(t, "panel "+p.Title, target.Expr, known)
			for _, name := range seriesName.FindAllString(target.Expr, -1) {
				used[name] = true
			}
		}
	}
	// What wakes somebody should be seen at a glance by whoever was woken.
	for _, rule := range alertRules(t) {
		for _, name := range seriesName.FindAllString(rule.Expr, -1) {
			if !used[name] && name != "process_start_time_seconds" && name != "holdfast_disk_size_bytes" && name != "holdfast_scrub_failures_total" {
				t.Errorf("%s looks at %s, which no panel shows", rule.Alert, name)
			}
		}
	}
}
