package api

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// secretText finds tokens, keys and JWTs, whole or cut, where a mistaken caller has put them into a path: by their
// prefix, or because no name of ours has that many characters of base64 in a row.
var secretText = regexp.MustCompile(`(?i:hf[sko]_)[^/]*|[\w-]{40,}(\.[\w-]*)*`)

// maxLoggedPath keeps a line readable.
const maxLoggedPath = 512

// access writes one line for an answer: of every one, or of those that are our own fault. Every use of an operator key
// has a line of its own, whatever came of it. The query is never logged,
// nor any header: both may hold what nobody should read.
func (s *Server) access(c *call) {
	if c.operator {
		s.log.LogAttrs(context.Background(), slog.LevelInfo, "audit", s.describe(c)...)
	}
	if !s.logAll && (c.status < 500 || c.route != nil && c.route.probe) {
		return
	}
	level := slog.LevelInfo
	if c.status >= 500 {
		level = slog.LevelError
	}
	s.log.LogAttrs(context.Background(), level, "request", s.describe(c)...)
}

// describe is what both logs say of a call.
func (s *Server) describe(c *call) []slog.Attr {
	attributes := []slog.Attr{
		slog.String("method", loggable(c.r.Method)),
		slog.String("path", loggable(c.r.URL.Path)),
		slog.String("route", c.routeName()),
		slog.Int("status", c.status),
		slog.Int("bytes", c.size),
		slog.Float64("duration_ms", float64(time.Since(c.began).Microseconds())/1000),
		slog.String("client", loggable(c.clientIP())),
		slog.String("request_id", c.requestID()),
	}
	if c.code != "" {
		attributes = append(attributes, slog.String("code", string(c.code)))
	}
	if c.keyName != "" {
		attributes = append(attributes, slog.String("key", c.keyName))
	}
	return attributes
}

func (c *call) clientIP() string {
	if c.client.IP != "" {
		return c.client.IP
	}
	return c.s.proxies.client(c.r)
}

// loggable makes a caller's text safe for every log format: no control characters, no line separators, no tokens.
func loggable(text string) string {
	text = secretText.ReplaceAllString(text, "***")
	if len(text) > maxLoggedPath {
		text = text[:maxLoggedPath] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\uFFFD' // the last two ranges turn the direction of text
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// netHTTPLog takes net/http's own log. A failed TLS handshake is any port scanner's doing, not a warning.
type netHTTPLog struct{ slog.Handler }

func (h netHTTPLog) Handle(ctx context.Context, record slog.Record) error {
	if strings.HasPrefix(record.Message, "http: TLS handshake error") {
		record.Level = slog.LevelDebug
	}
	if !h.Enabled(ctx, record.Level) {
		return nil
	}
	line := slog.NewRecord(record.Time, record.Level, "http server", record.PC)
	line.AddAttrs(slog.String("detail", loggable(record.Message)))
	return h.Handler.Handle(ctx, line)
}
