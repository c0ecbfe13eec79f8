package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/cluster/quiet"
)

const (
	// warnBurst lines may be warnings in one warnPeriod: anybody who reaches the
	// port can cause them.
	warnBurst  = 20
	warnPeriod = time.Minute
)

// bridge carries memberlist's log over: errors and warnings as warnings, within
// a bound, all else as debug.
type bridge struct {
	to *slog.Logger

	mu         sync.Mutex
	since      time.Time
	warnings   int
	suppressed int

	strangers quiet.Log
}

// otherKey is what memberlist says of a message that none of our keys opens.
const otherKey = "no installed keys could decrypt the message"

func newBridge(to *slog.Logger) *log.Logger { return log.New(&bridge{to: to}, "", 0) }

func (b *bridge) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelDebug
	if tag, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(tag, "[") {
		text = rest
		if tag == "[ERR" || tag == "[ERROR" || tag == "[WARN" {
			level = slog.LevelWarn
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if strings.Contains(text, otherKey) {
		_, from, _ := strings.Cut(text, "from=")
		b.refuse(from)
		return len(line), nil
	}
	suppressed := 0
	if level == slog.LevelWarn {
		level, suppressed = b.limit(time.Now())
	}
	attrs := []any{"text", text}
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	b.to.Log(context.Background(), level, "gossip", attrs...)
	return len(line), nil
}

// refuse tells of a node that sent what none of our keys opens.
func (b *bridge) refuse(from string) {
	level := slog.LevelDebug
	if b.strangers.IsNews(from, time.Now()) {
		level = slog.LevelWarn
	}
	b.to.Log(context.Background(), level, "gossip refused", "from", from,
		"error", "it is encrypted with another cluster key than those of this node")
}

// limit turns warnings beyond the bound into debug lines, and says with the next
// warning how many those were.
func (b *bridge) limit(now time.Time) (slog.Level, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= warnPeriod {
		b.since, b.warnings = now, 0
	}
	if b.warnings >= warnBurst {
		b.suppressed++
		return slog.LevelDebug, 0
	}
	b.warnings++
	suppressed := b.suppressed
	b.suppressed = 0
	return slog.LevelWarn, suppressed
}
