package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// report prints the table, group by group, and counts.
type report struct {
	out               io.Writer
	right, wrong      int
	left              []string
	faults, forgotten []string
}

const (
	inputWidth = 62
	wantWidth  = 40
)

func (r *report) group(name string, results []result) {
	fmt.Fprintf(r.out, "\n%s\n", strings.ToUpper(name))
	if len(results) == 0 {
		r.forgotten = append(r.forgotten, name)
	}
	for _, one := range results {
		mark, got := "✓", one.got
		switch {
		case one.left != "":
			mark, got = "–", "LEFT OUT, "+one.left
			r.left = append(r.left, fmt.Sprintf("%s: %s (%s)", name, one.input, one.left))
		case one.wrong != "":
			mark = "✗"
			r.wrong++
			r.faults = append(r.faults, fmt.Sprintf("%s: %s\n    expected %s\n    got      %s\n    wrong    %s", name, one.input, one.want, one.got, one.wrong))
		default:
			r.right++
		}
		fmt.Fprintf(r.out, "  %s %s %s %s\n", mark, pad(one.input, inputWidth), pad(one.want, wantWidth), got)
	}
}

// summary prints the counts, names what was left out and repeats what is wrong, which is an error.
func (r *report) summary() error {
	fmt.Fprintf(r.out, "\n%d rows right, %d wrong, %d left out\n", r.right, r.wrong, len(r.left))
	for _, name := range r.left {
		fmt.Fprintf(r.out, "  LEFT OUT  %s\n", name)
	}
	for _, fault := range r.faults {
		fmt.Fprintf(r.out, "  WRONG  %s\n", fault)
	}
	switch {
	case r.wrong > 0:
		return fmt.Errorf("%d rows are wrong", r.wrong)
	case len(r.forgotten) > 0:
		return fmt.Errorf("groups without a row: %s", strings.Join(r.forgotten, ", "))
	}
	return nil
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
