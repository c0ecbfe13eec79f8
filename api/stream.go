package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// streamPulse is how often a silent stream sends a comment, so that proxies keep it and a client that has gone is
	// noticed.
	streamPulse = 15 * time.Second
	// streamWrite bounds one write to a stream; whoever reads more slowly is dropped.
	streamWrite = 5 * time.Second
	// streamRetry is how long a client waits before it comes back.
	streamRetry = time.Second
)

var eventStream = []string{"text/event-stream"}

// followCurrent answers GET /api/sessions/current/events/: what happens to the caller's own session, until it ends.
func (s *Server) followCurrent(c *call) error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	view, err := s.ownSession(c, &who)
	if err != nil {
		return err
	}
	after, err := c.resumption(view.Index) // else whatever has happened since the session was seen alive
	if err != nil {
		return err
	}
	c.index = view.Index
	return s.stream(c, &who, session.Follow{Session: view.Session.ID, After: after}, forOwner)
}

// resumption reads where a client that comes back has stopped: Last-Event-ID, or ?after= for those that cannot set it.
// For one that comes for the first time it is the index of now.
func (c *call) resumption(now session.Index) (after session.EventID, err error) {
	text, there, err := c.header(headerLastEventID)
	if err == nil && !there {
		text, there, err = c.query("after")
	}
	if err != nil {
		return after, err
	}
	if !there || text == "" {
		return session.EventID{Index: now.Index, Ordinal: math.MaxUint32}, nil
	}
	return session.ParseEventID(text)
}

// A naming says what a stream calls an event, empty if it is none of its reader's business, and whether it is the last.
type naming func(e *session.Event) (name string, last bool)

// asItIs names all events by their types.
func asItIs(e *session.Event) (string, bool) { return e.Type.String(), false }

// forOwner names what the owner of a session is told. The reason says how it ended.
func forOwner(e *session.Event) (name string, last bool) {
	switch e.Type {
	case session.EventUpdated, session.EventRefreshed:
		return e.Type.String(), false
	case session.EventRotated:
		return session.EventRefreshed.String(), false
	case session.EventExpired:
		return e.Type.String(), true
	case session.EventRevoked, session.EventEvicted:
		return session.EventRevoked.String(), true
	}
	return "", false
}

// stream sends events as Server-Sent Events (HTML Standard, 9.2) until the client goes, reads too slowly, or this node
// may tell it no more. A key that is taken out of the keys file ends its streams as well.
func (s *Server) stream(c *call, who *caller, want session.Follow, name naming) error {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	stop := context.AfterFunc(s.streams, cancel)
	defer stop()
	from, err := s.sessions.Follow(ctx, want)
	if err != nil {
		return err
	}
	defer from.Close()
	c.streamed = true
	c.w.Header()[headerContentType] = eventStream
	c.set("X-Accel-Buffering", "no") // nginx would gather what is meant for now
	out := newSSE(c)
	if err := out.begin(want.After); err != nil {
		return nil // nobody is left to be told, here and below
	}
	s.metrics.streams.Add(1)
	defer s.metrics.streams.Add(-1)
	for {
		e, err := out.next(ctx, from)
		switch {
		case who.credential == credentialKey && !s.cfg.Keys.Holds(who.key):
			return nil
		case err == nil:
			label, last := name(&e)
			if label != "" && out.event(label, &e) != nil || last {
				return nil
			}
		case errors.Is(err, errPulse):
			if out.comment() != nil {
				return nil
			}
		default:
			return nil // the client resumes elsewhere
		}
	}
}

// sse writes one stream.
type sse struct {
	c       *call
	control *http.ResponseController
	buf     []byte
}

func newSSE(c *call) *sse { return &sse{c: c, control: http.NewResponseController(c.w)} }

// begin sends the head, and the id to come back with if the stream breaks before its first event. The timeouts of
// ordinary requests end here: a stream has its own.
func (o *sse) begin(at session.EventID) error {
	if err := o.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if o.c.r.Method == http.MethodHead {
		o.c.head(http.StatusOK)
		return errors.New("a head has no events")
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	o.c.head(http.StatusOK)
	o.buf = append(append(o.buf[:0], "id: "...), at.String()...)
	o.buf = appendInt(append(o.buf, "\nretry: "...), streamRetry.Milliseconds())
	o.buf = append(o.buf, "\n\n"...)
	return o.flush()
}

func (o *sse) event(name string, e *session.Event) error {
	o.buf = append(append(o.buf[:0], "id: "...), e.ID.String()...)
	o.buf = append(append(o.buf, "\nevent: "...), name...)
	o.buf = appendEvent(append(o.buf, "\ndata: "...), e)
	o.buf = append(o.buf, "\n\n"...)
	return o.flush()
}

func (o *sse) comment() error {
	o.buf = append(o.buf[:0], ":\n\n"...)
	return o.flush()
}

func (o *sse) flush() error {
	if err := o.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	n, err := o.c.w.Write(o.buf)
	o.c.size += n
	if err != nil {
		return err
	}
	return o.control.Flush()
}

var errPulse = errors.New("nothing has happened")

// next waits for an event, but not for longer than a pulse.
func (o *sse) next(ctx context.Context, from session.Stream) (session.Event, error) {
	pulse, cancel := context.WithTimeout(ctx, streamPulse)
	defer cancel()
	e, err := from.Next(pulse)
	if err != nil && ctx.Err() == nil && pulse.Err() != nil {
		err = errPulse
	}
	return e, err
}
