package main

import "fmt"

// level says how bad something is.
type level int

// Levels, the worst last.
const (
	fine level = iota
	doubtful
	bad
)

// finding is one thing that was looked at.
type finding struct {
	level level
	// what was looked at, in a word or two; the same word for the same thing, whatever was found.
	what string
	text string
	// remedy says what to do; empty where all is well.
	remedy string
}

func well(what, format string, args ...any) finding {
	return finding{level: fine, what: what, text: fmt.Sprintf(format, args...)}
}

// worst is the highest level of findings.
func worst(findings []finding) level {
	l := fine
	for _, f := range findings {
		l = max(l, f.level)
	}
	return l
}

// warning and failure are findings with something to do.
func warning(what, remedy, format string, args ...any) finding {
	return finding{level: doubtful, what: what, text: fmt.Sprintf(format, args...), remedy: remedy}
}

func failure(what, remedy, format string, args ...any) finding {
	return finding{level: bad, what: what, text: fmt.Sprintf(format, args...), remedy: remedy}
}
