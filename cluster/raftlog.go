package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger carries the library's log lines into ours, one level down: what
// Raft calls info is of interest to whoever debugs Raft.
//
// A peer that is away makes the library say so several times a second, for as
// long as it is away: each complaint is passed on once in repeatPause.
type raftLogger struct {
	out     *slog.Logger
	name    string
	args    []any
	repeats *repeats
}

func newRaftLogger(out *slog.Logger) hclog.Logger {
	return &raftLogger{out: out.With("component", "raft"), name: "raft", repeats: &repeats{said: make(map[string]repeat)}}
}

const (
	// repeatPause lies between two lines about one trouble with one peer.
	repeatPause = 10 * time.Second
	// maxRepeats bounds the troubles that are told apart.
	maxRepeats = 256
)

// repeats knows what was said of late.
type repeats struct {
	mu   sync.Mutex // guards said
	said map[string]repeat
}

type repeat struct {
	at    time.Time
	since int // how often it was not said since
}

// pass says whether a line is news, and how often it was held back before.
func (r *repeats) pass(key string, now time.Time) (held int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.said[key]
	if known && now.Sub(last.at) < repeatPause {
		last.since++
		r.said[key] = last
		return 0, false
	}
	if len(r.said) >= maxRepeats {
		clear(r.said)
	}
	r.said[key] = repeat{at: now}
	return last.since, true
}

// trouble names a line by its message and the peer that it is about.
func trouble(msg string, args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		if name := args[i]; name == "peer" || name == "target" {
			return fmt.Sprint(msg, args[i+1])
		}
	}
	return msg
}

// closing says whether a line tells of nothing but a connection that this node
// has closed itself.
func closing(args []any) bool {
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, net.ErrClosed) {
			return true
		}
	}
	return false
}

func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelDebug
	default:
		return slog.LevelDebug - 4
	}
}

// formatted renders hclog.Fmt arguments, which slog would print as a slice, and
// drops a dangling key.
func formatted(args []any) []any {
	out := make([]any, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		value := args[i+1]
		switch v := value.(type) {
		case hclog.Format:
			if format, ok := first(v).(string); ok {
				value = fmt.Sprintf(format, v[1:]...)
			}
		case error:
			value = v.Error()
		}
		out = append(out, args[i], value)
	}
	return out
}

func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	to := slogLevel(level)
	if closing(args) {
		to = slog.LevelDebug
	}
	if !l.out.Enabled(context.Background(), to) {
		return
	}
	attributes := formatted(args)
	if to >= slog.LevelWarn {
		held, ok := l.repeats.pass(trouble(msg, args), time.Now())
		if !ok {
			return
		}
		if held > 0 {
			attributes = append(attributes, "held_back", held)
		}
	}
	l.out.Log(context.Background(), to, msg, attributes...)
}

func (l *raftLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *raftLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *raftLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *raftLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLogger) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), slogLevel(level))
}

func (l *raftLogger) IsTrace() bool { return l.enabled(hclog.Trace) }
func (l *raftLogger) IsDebug() bool { return l.enabled(hclog.Debug) }
func (l *raftLogger) IsInfo() bool  { return l.enabled(hclog.Info) }
func (l *raftLogger) IsWarn() bool  { return l.enabled(hclog.Warn) }
func (l *raftLogger) IsError() bool { return l.enabled(hclog.Error) }

func (l *raftLogger) ImpliedArgs() []any { return slices.Clone(l.args) }
func (l *raftLogger) Name() string       { return l.name }

func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{
		out:  l.out.With(formatted(args)...),
		name: l.name,
		args: append(slices.Clone(l.args), args...), repeats: l.repeats,
	}
}

func (l *raftLogger) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{out: l.out.With("component", name), name: name, args: slices.Clone(l.args), repeats: l.repeats}
}

// SetLevel does nothing: the operator's level decides, once.
func (l *raftLogger) SetLevel(hclog.Level)  {}
func (l *raftLogger) GetLevel() hclog.Level { return hclog.NoLevel }
func (l *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.out.Handler(), slog.LevelWarn)
}

func (l *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(nil).Writer()
}

func first(v hclog.Format) any {
	if len(v) == 0 {
		return nil
	}
	return v[0]
}
