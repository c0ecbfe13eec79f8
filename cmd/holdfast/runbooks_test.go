package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var inlineCommand = regexp.MustCompile("`holdfast ([^`]+)`")

// grepped finds what a runbook has its reader look for among the metrics.
var grepped = regexp.MustCompile(`/metrics \| grep '([^']*)'`)

func TestRunbooksNameCommandsAndSeriesThatExist(t *testing.T) {
	known := documented(t)
	root := (&program{}).root()
	for _, rule := range alertRules(t) {
		raw, err := os.ReadFile(runbooks + rule.Alert + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		text := string(raw)
		for _, part := range []string{
			"# " + rule.Alert + "\n", "**What it means.**", "**What users feel.**", "## How to look\n", "## What to do\n", "## What not to do\n",
		} {
			if !strings.Contains(text, part) {
				t.Errorf("%s.md has no %q", rule.Alert, part)
			}
		}
		for _, found := range grepped.FindAllStringSubmatch(text, -1) {
			for _, name := range alternatives(found[1]) {
				if !showsSeries(known, name) {
					t.Errorf("%s.md looks for %s: no series is named so", rule.Alert, name)
				}
			}
		}
		for line := range strings.Lines(text) {
			if args, ours := strings.CutPrefix(strings.TrimSpace(line), "holdfast "); ours {
				checkCommand(t, root, rule.Alert, args)
			}
		}
		for _, found := range inlineCommand.FindAllStringSubmatch(text, -1) {
			checkCommand(t, root, rule.Alert, found[1])
		}
	}
}

// alternatives are the texts that a pattern of grep finds: one, or one for each branch of its one group.
func alternatives(pattern string) []string {
	before, rest, grouped := strings.Cut(pattern, `\(`)
	if !grouped {
		return []string{pattern}
	}
	group, after, _ := strings.Cut(rest, `\)`)
	var all []string
	for branch := range strings.SplitSeq(group, `\|`) {
		all = append(all, before+branch+after)
	}
	return all
}

func showsSeries(known families, part string) bool {
	for name, f := range known {
		if strings.Contains(name, part) || f.kind == "histogram" && strings.Contains(name+"_bucket", part) || f.kind == "histogram" && strings.Contains(name+"_count", part) {
			return true
		}
	}
	return false
}

// checkCommand demands that a command line names a verb and flags that there are.
func checkCommand(t *testing.T, root *cobra.Command, where, args string) {
	t.Helper()
	words, _, _ := strings.Cut(args, " | ")
	cmd, rest, err := root.Find(strings.Fields(words))
	if err != nil || cmd == root || cmd.HasSubCommands() {
		t.Errorf("%s: there is no command holdfast %s", where, args)
		return
	}
	if i := slices.Index(rest, "--config"); i >= 0 && cmd.Flags().Lookup("config") != nil {
		rest = slices.Delete(rest, i, i+2) // the file is the operator's
	}
	if _, faults := parse(cmd.Flags(), rest, nil); faults != nil {
		t.Errorf("%s: holdfast %s: %v", where, args, faults)
	}
}
