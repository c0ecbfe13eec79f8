package load

import (
	"context"
	"net"
	"sync"
	"time"
)

// deadlineSlack is how much later than its timeout a request may end. Moving a connection's deadline costs about as
// much as parsing an answer, so it is moved only when less than a timeout is left, to this much more than one.
const deadlineSlack = 250 * time.Millisecond

// A line is one client's keep-alive connection: one request at a time, opened again after it was lost. Only interrupt
// may be called by another goroutine.
type line struct {
	timeout  time.Duration
	dialer   net.Dialer
	conn     net.Conn // nil: not connected
	parser   parser
	deadline time.Duration // what the connection's deadline is, since the run's start

	mu          sync.Mutex // guards the deadline of conn against interrupt
	interrupted bool
}

// open connects.
func (l *line) open(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	conn, err := l.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupted {
		conn.Close()
		return context.Canceled
	}
	l.conn, l.deadline = conn, 0
	l.parser = parser{src: conn, buf: l.parser.buf, joined: l.parser.joined}
	return nil
}

// exchange sends one request and reads its answer. After an error the connection is of no more use.
func (l *line) exchange(request []byte, now time.Duration) (response, error) {
	if l.deadline < now+l.timeout {
		if err := l.arm(now); err != nil {
			return response{}, err
		}
	}
	if _, err := l.conn.Write(request); err != nil {
		return response{}, err
	}
	r, err := l.parser.next()
	if err == nil && l.parser.at != l.parser.end {
		err = malformed("more than one answer")
	}
	return r, err
}

func (l *line) arm(now time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupted {
		return context.Canceled
	}
	l.deadline = now + l.timeout + deadlineSlack
	return l.conn.SetDeadline(time.Now().Add(l.timeout + deadlineSlack))
}

// interrupt ends an exchange that is under way, and all later ones, with an error.
func (l *line) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted = true
	if l.conn != nil {
		_ = l.conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, whose exchange has ended
	}
}

// close drops the connection, if there is one.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}
