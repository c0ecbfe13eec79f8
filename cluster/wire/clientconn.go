package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// call is a request that waits for its answer.
//
//	queued ──the writer takes it──> sent ──> answered, or its outcome is unknown
//	       ──given up before that─> dropped: certainly not sent
type call struct {
	state atomic.Int32
	// answer receives once, from whoever took the call out of waiting.
	answer chan outcome
	sentAt time.Time
}

const (
	callQueued int32 = iota
	callSent
	callDropped
)

// drop gives the call up, and reports whether it was in time.
func (c *call) drop() bool {
	return c.state.CompareAndSwap(callQueued, callDropped) || c.state.Load() == callDropped
}

type outcome struct {
	body []byte
	err  error
}

// clientConn is one connection to one peer, with a reader and a writer.
type clientConn struct {
	id       string
	conn     net.Conn
	o        ClientOptions
	maxBody  int // of a request: what the server takes
	out      *outbox
	heard    atomic.Int64 // when a frame last came, since began
	began    time.Time
	doneOnce sync.Once

	mu      sync.Mutex
	waiting map[uint64]*call // nil once the connection has failed
	next    uint64
	err     error
}

func (c *Client) start(id string, conn net.Conn, h hello) *clientConn {
	cc := &clientConn{
		id: id, conn: conn, o: c.o,
		maxBody: int(min(int64(h.maxBody), int64(c.o.MaxBody))),
		out:     newOutbox(),
		began:   time.Now(),
		waiting: make(map[uint64]*call),
	}
	c.tasks.Go(func() { cc.fail(cc.read()) })
	c.tasks.Go(func() {
		if err := writeFrames(conn, cc.out, wantedByClient, func(int) {}); err != nil {
			cc.fail(fmt.Errorf("%w: %w", ErrLost, err))
		}
	})
	return cc
}

// wantedByClient marks a request as sent, unless its caller has given up.
func wantedByClient(f frame) bool {
	return f.call == nil || f.call.state.CompareAndSwap(callQueued, callSent)
}

func (cc *clientConn) live() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.waiting != nil
}

func (cc *clientConn) call(ctx context.Context, method uint8, body []byte) ([]byte, error) {
	if len(body) > cc.maxBody {
		return nil, notSent(cc.id, fmt.Errorf("%w: %d bytes, the peer takes %d", ErrTooLarge, len(body), cc.maxBody))
	}
	deadline, ok := remaining(ctx)
	if !ok {
		return nil, notSent(cc.id, context.DeadlineExceeded)
	}
	waits := &call{answer: make(chan outcome, 1), sentAt: time.Now()}
	id, err := cc.register(waits)
	if err != nil {
		return nil, notSent(cc.id, err)
	}
	// A box that is closed takes nothing: then fail has answered the call.
	cc.out.put(frame{kind: kindRequest, method: method, id: id, deadline: deadline, body: body, call: waits})
	select {
	case o := <-waits.answer:
		return o.body, o.err
	case <-ctx.Done():
	}
	return cc.abandon(ctx, id, waits)
}

// abandon takes back a call whose caller waits no longer.
func (cc *clientConn) abandon(ctx context.Context, id uint64, waits *call) ([]byte, error) {
	if cc.remove(id) == nil {
		o := <-waits.answer // it came at the last moment, or is coming
		return o.body, o.err
	}
	if waits.drop() {
		return nil, notSent(cc.id, ctx.Err())
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// The other side knows the deadline too.
		cc.suspect(waits)
	} else {
		cc.out.put(frame{kind: kindCancel, id: id})
	}
	return nil, unknown(cc.id, ctx.Err())
}

// suspect gives the connection up if nothing has come since the call left: TCP
// alone notices a dead path only after minutes, and after a partition a new
// connection works sooner than the old one's next retransmission.
func (cc *clientConn) suspect(waits *call) {
	heard := cc.began.Add(time.Duration(cc.heard.Load()))
	if !heard.After(waits.sentAt) && time.Since(waits.sentAt) >= cc.o.SilenceAfter {
		cc.fail(errSilent)
	}
}

// remaining is what ctx has left in ms, rounded up; 0 means no end. false means
// that nothing is left.
func remaining(ctx context.Context) (uint32, bool) {
	end, ok := ctx.Deadline()
	if !ok {
		return 0, true
	}
	left := time.Until(end)
	if left <= 0 {
		return 0, false
	}
	ms := (left + time.Millisecond - 1) / time.Millisecond
	return uint32(min(ms, math.MaxUint32)), true
}

func (cc *clientConn) register(waits *call) (uint64, error) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	switch {
	case cc.waiting == nil:
		return 0, cc.err
	case len(cc.waiting) >= cc.o.MaxWaiting:
		return 0, ErrBusy
	}
	cc.next++
	cc.waiting[cc.next] = waits
	return cc.next, nil
}

// remove gives the call to whoever asks first.
func (cc *clientConn) remove(id uint64) *call {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	waits := cc.waiting[id]
	delete(cc.waiting, id)
	return waits
}

// read hands out answers until the connection ends, and says why it did.
func (cc *clientConn) read() error {
	r := bufio.NewReaderSize(cc.conn, bufferBytes)
	for {
		f, err := readFrame(r, cc.o.MaxBody)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		cc.heard.Store(int64(time.Since(cc.began)))
		var o outcome
		switch f.kind {
		case kindAnswer:
			o.body = f.body
		case kindFailure:
			o.err = &RemoteError{Peer: cc.id, Code: f.method, Text: string(f.body)}
		default:
			return fmt.Errorf("%w: %w: frame of kind %d from a server", ErrLost, errProtocol, f.kind)
		}
		// Nobody waits for the answer to a call that was given up.
		if waits := cc.remove(f.id); waits != nil {
			waits.answer <- o
		}
	}
}

// fail ends the connection: all waiting calls are answered at once, those that
// the writer has not begun as certainly not sent.
func (cc *clientConn) fail(cause error) {
	cc.doneOnce.Do(func() {
		cc.mu.Lock()
		waiting := cc.waiting
		cc.waiting, cc.err = nil, cause
		cc.mu.Unlock()
		cc.out.close()
		_ = cc.conn.Close()
		if len(waiting) > 0 || !errors.Is(cause, ErrClosed) {
			cc.o.Logger.Debug("peer connection ended", "node", cc.id, "waiting", len(waiting), "error", cause)
		}
		for _, waits := range waiting {
			if waits.drop() {
				waits.answer <- outcome{err: notSent(cc.id, cause)}
			} else {
				waits.answer <- outcome{err: unknown(cc.id, cause)}
			}
		}
	})
}
