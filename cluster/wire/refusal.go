package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// refuse tells that this node has let somebody in no further.
func (m *Mux) refuse(from net.Addr, err error) {
	m.c.Logger.Log(context.Background(), m.level(from, err), "cluster connection refused",
		"from", from.String(), "error", explain(err))
}

// refused tells that a node which this one dialled is none that it believes, or
// does not believe this one.
func (m *Mux) refused(id string, at net.Addr, err error) {
	m.c.Logger.Log(context.Background(), m.level(at, err), "no cluster connection",
		"node", id, "addr", at.String(), "error", explain(err))
}

// level makes no news of a connection that broke: whoever only looks whether the
// port is open ends one so.
func (m *Mux) level(addr net.Addr, err error) slog.Level {
	if isBroken(err) {
		return slog.LevelDebug
	}
	if !m.quiet.IsNews(addr.String(), time.Now()) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// noProtocol is the alert of a node that offers none of the protocols asked for.
const noProtocol = tls.AlertError(120)

func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// explain says what an alert of TLS means between nodes: the other end has more
// to say, in its own log.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && op.Err.Error() == noProtocol.Error() {
		return fmt.Errorf("the other node is not open for this, as one that is starting, joining or stopping is not: %w", err)
	}
	if _, isAlert := errors.AsType[tls.AlertError](err); isAlert {
		return &alerted{err}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return &alerted{err}
	}
	return err
}

// alerted is an error that the other end sent.
type alerted struct{ error }

func (a *alerted) Error() string {
	return "the other node does not believe this node's certificate, as one with another cluster key would not: " + a.error.Error()
}

func (a *alerted) Unwrap() error { return a.error }
