package main

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
)

// bar shows on a terminal how far a run has come; elsewhere it is silent, so that logs and pipes stay readable.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	name    string
	count   uint64 // requests that end the run; 0: its time does
	done    chan struct{}
}

func (p *program) newBar(name string, count uint64) *bar {
	b := &bar{name: name, count: count}
	if !isTerminal(p.stderr) {
		return b
	}
	b.writer = progress.NewWriter()
	b.writer.SetOutputWriter(p.stderr)
	b.writer.SetUpdateFrequency(200 * time.Millisecond)
	b.writer.SetStyle(progress.StyleBlocks)
	b.writer.Style().Visibility = progress.StyleVisibility{Percentage: true, Tracker: true}
	b.tracker = &progress.Tracker{Message: name, Total: 1000}
	b.writer.AppendTracker(b.tracker)
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		b.writer.Render()
	}()
	return b
}

func (b *bar) update(at load.Progress) {
	if b.tracker == nil {
		return
	}
	share := float64(at.Elapsed) / float64(max(at.Total, 1))
	if b.count > 0 {
		share = float64(at.Operations) / float64(b.count)
	}
	message := fmt.Sprintf("%s: %d done", b.name, at.Operations)
	if at.Errors > 0 {
		message += fmt.Sprintf(", %d failed", at.Errors)
	}
	b.tracker.UpdateMessage(message)
	b.tracker.SetValue(int64(min(share, 0.999) * 1000)) // at 1 the tracker would end the rendering
}

func (b *bar) close() {
	if b.tracker == nil {
		return
	}
	b.tracker.SetValue(1000)
	b.tracker.MarkAsDone()
	b.writer.Stop()
	<-b.done
}
