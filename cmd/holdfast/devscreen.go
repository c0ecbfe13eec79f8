package main

import (
	"fmt"
	"io"
	"sync"
)

// Sequences of a terminal (ECMA-48, and DEC's auto-wrap mode, without which a long line would not be one line).
const (
	clearLine = "\r\x1b[2K"
	wrapOff   = "\x1b[?7l"
	wrapOn    = "\x1b[?7h"
)

// terminal lets several goroutines write whole lines, above one line that is refreshed in place. Where w is no screen
// there is no such line.
type terminal struct {
	mu     sync.Mutex
	w      io.Writer
	screen bool
	status string // the line that is refreshed; empty without one
}

func newTerminal(w io.Writer) *terminal { return &terminal{w: w, screen: isTerminal(w)} }

func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status == "" {
		fmt.Fprintf(t.w, format+"\n", args...)
		return
	}
	fmt.Fprintf(t.w, clearLine+format+"\n", args...)
	t.draw()
}

// refresh shows status in place of the one before; an empty one takes it away.
func (t *terminal) refresh(status string) {
	if !t.screen {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprint(t.w, clearLine)
	t.status = status
	t.draw()
}

func (t *terminal) draw() {
	if t.status != "" {
		fmt.Fprint(t.w, wrapOff+t.status+wrapOn)
	}
}
