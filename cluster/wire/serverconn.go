package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// serverConn is one connection of one peer: a reader, a writer, and a goroutine
// for each request under way. The reader never waits for a handler, so that a
// request is never held up by those before it.
type serverConn struct {
	server *Server
	conn   net.Conn
	from   string
	out    *outbox

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	once   sync.Once

	// busy counts requests from their first byte read to their answer's last
	// byte written: a peer that does not read its answers gets no more of them.
	busy atomic.Int64

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

func (sc *serverConn) serve() {
	var tasks sync.WaitGroup
	greeting := hello{maxBody: uint32(sc.server.o.MaxBody)}.append(nil)
	if _, err := (patient{sc.conn}).Write(greeting); err != nil {
		sc.fail(err)
		return
	}
	tasks.Go(func() {
		written := func(n int) { sc.busy.Add(-int64(n)) }
		err := writeFrames(sc.conn, sc.out, func(frame) bool { return true }, written)
		if err != nil {
			sc.fail(err)
		}
	})
	sc.fail(sc.read(&tasks))
	tasks.Wait()
}

func (sc *serverConn) read(tasks *sync.WaitGroup) error {
	r := bufio.NewReaderSize(sc.conn, bufferBytes)
	for {
		f, err := readFrame(r, sc.server.o.MaxBody)
		if err != nil {
			return err
		}
		switch f.kind {
		case kindRequest:
			sc.request(tasks, f)
		case kindCancel:
			sc.giveUp(f.id)
		default:
			return fmt.Errorf("%w: frame of kind %d from a client", errProtocol, f.kind)
		}
	}
}

func (sc *serverConn) request(tasks *sync.WaitGroup, f frame) {
	s := sc.server
	s.requests.Add(1)
	// Refusals count too, and a peer that sends without reading gets no refusal
	// for ever: at twice the bound its connection ends.
	switch n := sc.busy.Add(1); {
	case n > 2*int64(s.o.MaxHandlers):
		sc.fail(errors.New("peer does not read its answers"))
		return
	case n > int64(s.o.MaxHandlers):
		s.refused.Add(1)
		sc.out.put(frame{kind: kindFailure, method: CodeBusy, id: f.id, body: []byte(ErrBusy.Error())})
		return
	}
	ctx, cancel := sc.begin(f)
	if cancel == nil {
		sc.fail(fmt.Errorf("%w: request %d twice", errProtocol, f.id))
		return
	}
	tasks.Go(func() {
		defer cancel()
		body, err := s.handle(ctx, sc.from, f.method, f.body)
		sc.end(f.id)
		sc.out.put(sc.reply(f.id, body, err))
	})
}

// begin makes the request's context; a nil cancel means that its id is in use.
func (sc *serverConn) begin(f frame) (context.Context, context.CancelFunc) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if _, taken := sc.running[f.id]; taken {
		return nil, nil
	}
	ctx, cancel := sc.ctx, context.CancelFunc(nil)
	if f.deadline == 0 {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(f.deadline)*time.Millisecond)
	}
	sc.running[f.id] = cancel
	return ctx, cancel
}

func (sc *serverConn) end(id uint64) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	delete(sc.running, id)
}

func (sc *serverConn) giveUp(id uint64) {
	sc.mu.Lock()
	cancel := sc.running[id]
	sc.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (sc *serverConn) reply(id uint64, body []byte, err error) frame {
	if err == nil && len(body) > sc.server.o.MaxBody {
		sc.server.failed.Add(1)
		text := fmt.Sprintf("answer of %d bytes, at most %d fit", len(body), sc.server.o.MaxBody)
		return frame{kind: kindFailure, method: CodeAnswerTooLarge, id: id, body: []byte(text)}
	}
	if err == nil {
		return frame{kind: kindAnswer, id: id, body: body}
	}
	sc.server.failed.Add(1)
	text := err.Error()
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "")
	}
	return frame{kind: kindFailure, method: codeOf(err), id: id, body: []byte(text)}
}

// fail ends the connection and the contexts of its handlers.
func (sc *serverConn) fail(cause error) {
	sc.once.Do(func() {
		if errors.Is(cause, errProtocol) {
			sc.server.broke.Add(1)
			sc.server.o.Logger.Warn("peer broke the protocol", "node", sc.from, "error", cause)
		} else if !errors.Is(cause, io.EOF) && !errors.Is(cause, ErrClosed) {
			sc.server.o.Logger.Debug("peer connection ended", "node", sc.from, "error", cause)
		}
		// The handlers go last: what one answers because of this would look like
		// an answer of its own.
		sc.out.close()
		_ = sc.conn.Close()
		sc.cancel()
	})
}
