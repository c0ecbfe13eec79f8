//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryRowIsMeasuredJudgedAndPrinted(t *testing.T) {
	t.Setenv(roleVariable, "fake")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := config{
		bin: self, dir: dir, jsonFile: filepath.Join(dir, "out.json"), rows: rowNames(), cell: 100 * time.Millisecond,
		sizes: sizes{
			few: fakeFew, some: 100, many: fakeMany, kills: 1, restarts: 1,
			observe: 500 * time.Millisecond, baseline: 200 * time.Millisecond, spare: 2 * time.Second,
		},
	}
	if err := measure(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(cfg.jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var report report
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range report.Rows {
		names = append(names, row.Name)
		if row.Value == nil || row.Must != nil && row.Mark == "" {
			t.Errorf("row %s has no value or no verdict: %+v", row.Name, row)
		}
		if row.Name == "heap" && *row.Value != 100 {
			t.Errorf("the heap is %v MiB", *row.Value)
		}
	}
	if !slices.Equal(names, rowNames()) {
		t.Errorf("rows %v", names)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestARunThatFailsStillSaysWhatItHas(t *testing.T) {
	dir := t.TempDir()
	err := measure(t.Context(), config{bin: "/bin/false", dir: dir, rows: rowNames(), cell: time.Second, sizes: smokeSizes})
	if err == nil || !strings.Contains(err.Error(), "cluster-key create") {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestACriterionIsJudgedByItsDirection(t *testing.T) {
	higher := criterion{must: .5, aim: .6}
	lower := criterion{must: 4, aim: 2.5, lower: true}
	exact := criterion{must: 0, aim: none, lower: true}
	for _, test := range []struct {
		c     criterion
		value float64
		mark  string
	}{
		{higher, .6, "✓ aim"},
		{higher, .59, "✓ must"},
		{higher, .49, "✗ MISSED"},
		{lower, 2.5, "✓ aim"},
		{lower, 4, "✓ must"},
		{lower, 4.1, "✗ MISSED"},
		{exact, 0, "✓ must"},
		{exact, 1, "✗ MISSED"},
		{criterion{must: none, aim: none}, 1, ""},
	} {
		if got := test.c.judge(row{Value: &test.value}, false).Mark; got != test.mark {
			t.Errorf("%+v with %v: %q", test.c, test.value, got)
		}
	}
	if got := higher.judge(row{Value: pointer(.1)}, true).Mark; got != "smoke" {
		t.Errorf("a smoke run is judged: %q", got)
	}
}

func TestEveryRowOfThePhasesIsACriterion(t *testing.T) {
	for _, name := range throughputRows() {
		if !slices.Contains(rowNames(), name) {
			t.Errorf("%s is measured, and no row", name)
		}
	}
}

func TestRowsAreChosenByTheStartOfTheirName(t *testing.T) {
	got, err := selectRows("patch,kill-pause")
	if want := []string{"kill-pause", "patch-256", "patch-64", "patch-leader"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "nothing", "get,"} {
		if _, err := selectRows(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestFlagsNameAllFaultsAtOnce(t *testing.T) {
	_, err := parseFlags([]string{"-rows", "nothing", "-cell", "1ns", "surplus"})
	for _, want := range []string{"nothing", "-cell", "surplus"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestTheTableNamesRowsThatCouldNotBeMeasured(t *testing.T) {
	r := newReport(config{rows: []string{"get-64", "heap"}, quick: true})
	r.add(row{Name: "heap", Figure: "99 MiB", Value: pointer(99)})
	r.add(row{Name: "restart", Figure: "1 s", Value: pointer(1)}) // not wanted
	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"SMOKE RUN", "not measured", "99 MiB", "150", "smoke"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "restart") {
		t.Error("a row was printed that nobody asked for")
	}
}

func TestNumbersKeepThreeDigits(t *testing.T) {
	for value, want := range map[float64]string{0: "0", .5: "0.5", .554: "0.55", 2: "2", 12.34: "12.3", 150: "150", 1234.5: "1234"} {
		if got := number(value); got != want {
			t.Errorf("%v is printed as %q", value, got)
		}
	}
}

func TestAppendsAreMeasuredOnTheDisk(t *testing.T) {
	took, err := measureAppends(t.Context(), t.TempDir(), 20*time.Millisecond)
	if err != nil || len(took) == 0 || median(took) <= 0 {
		t.Errorf("%v, %v", took, err)
	}
}
