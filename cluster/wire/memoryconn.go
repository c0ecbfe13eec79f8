package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// windowBytes may be under way in one direction of a connection in memory.
const windowBytes = 1 << 20

// pipe is a connection in memory: a lane each way under one lock.
type pipe struct {
	memory *Memory
	// ids: side 0 dialled side 1.
	ids [2]string

	mu      sync.Mutex
	changed *sync.Cond
	// lanes[i] carries what side i writes.
	lanes [2]lane
	// ends[i] is what side i has of the connection.
	ends [2]end
}

type lane struct {
	condition
	queue []chunk
	size  int
	// finished: the writer has closed; the reader learns it after the queue.
	finished bool
}

type chunk struct {
	due  time.Time
	data []byte
}

type end struct {
	closed      bool
	read, write deadline
}

func newPipe(m *Memory, ids [2]string) *pipe {
	p := &pipe{memory: m, ids: ids}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) adjust(now [2]condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.lanes {
		p.lanes[i].condition = now[i]
	}
	p.changed.Broadcast()
}

func (p *pipe) broadcast() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed.Broadcast()
}

// MemoryConn is one end of a connection in memory.
type MemoryConn struct {
	pipe *pipe
	side int
}

// PeerID is the node at the other end.
func (c *MemoryConn) PeerID() string { return c.pipe.ids[1-c.side] }

// LocalAddr is this node's id.
func (c *MemoryConn) LocalAddr() net.Addr { return memoryAddr(c.pipe.ids[c.side]) }

// RemoteAddr is the other node's id.
func (c *MemoryConn) RemoteAddr() net.Addr { return memoryAddr(c.pipe.ids[1-c.side]) }

func (c *MemoryConn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "memory", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *MemoryConn) Read(b []byte) (int, error) {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	own, in := &p.ends[c.side], &p.lanes[1-c.side]
	for {
		switch {
		case own.closed:
			return 0, c.fault("read", net.ErrClosed)
		case own.read.passed():
			return 0, c.fault("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		}
		if n := in.take(b); n > 0 {
			p.changed.Broadcast()
			return n, nil
		}
		if in.finished && len(in.queue) == 0 && !in.cut {
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (c *MemoryConn) Write(b []byte) (int, error) {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	own, out := &p.ends[c.side], &p.lanes[c.side]
	total := 0
	for {
		switch {
		case own.closed:
			return total, c.fault("write", net.ErrClosed)
		case own.write.passed():
			return total, c.fault("write", os.ErrDeadlineExceeded)
		case p.ends[1-c.side].closed && !p.lanes[1-c.side].cut && !out.cut:
			return total, c.fault("write", syscall.ECONNRESET)
		case total == len(b):
			return total, nil
		}
		if n := min(windowBytes-out.size, len(b)-total); n > 0 {
			out.put(b[total : total+n])
			if out.delay > 0 {
				time.AfterFunc(out.delay, p.broadcast)
			}
			total += n
			p.changed.Broadcast()
			if total == len(b) {
				return total, nil
			}
		}
		p.changed.Wait()
	}
}

// Close ends the connection for both sides; the other one reads what was
// written before.
func (c *MemoryConn) Close() error {
	p := c.pipe
	p.mu.Lock()
	own := &p.ends[c.side]
	if own.closed {
		p.mu.Unlock()
		return nil
	}
	own.closed = true
	own.read.set(p, time.Time{})
	own.write.set(p, time.Time{})
	p.lanes[c.side].finished = true
	over := p.ends[1-c.side].closed
	p.changed.Broadcast()
	p.mu.Unlock()
	if over {
		p.memory.forget(p)
	}
	return nil
}

// SetDeadline of reads and writes, also of those under way; zero means none.
func (c *MemoryConn) SetDeadline(t time.Time) error {
	return c.set(t, true, true)
}

// SetReadDeadline of reads, also of one under way; zero means none.
func (c *MemoryConn) SetReadDeadline(t time.Time) error {
	return c.set(t, true, false)
}

// SetWriteDeadline of writes, also of one under way; zero means none.
func (c *MemoryConn) SetWriteDeadline(t time.Time) error {
	return c.set(t, false, true)
}

func (c *MemoryConn) set(t time.Time, read, write bool) error {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	own := &p.ends[c.side]
	if own.closed {
		return c.fault("set deadline", net.ErrClosed)
	}
	if read {
		own.read.set(p, t)
	}
	if write {
		own.write.set(p, t)
	}
	p.changed.Broadcast()
	return nil
}

// put queues a copy; a cut lane keeps it until it is healed.
func (l *lane) put(b []byte) {
	var due time.Time
	if l.delay > 0 {
		due = time.Now().Add(l.delay)
	}
	l.queue = append(l.queue, chunk{due: due, data: append([]byte(nil), b...)})
	l.size += len(b)
}

// take copies what has arrived into b.
func (l *lane) take(b []byte) int {
	if l.cut {
		return 0
	}
	total := 0
	for len(l.queue) > 0 && total < len(b) {
		head := &l.queue[0]
		if !head.due.IsZero() && time.Now().Before(head.due) {
			break
		}
		n := copy(b[total:], head.data)
		total += n
		head.data = head.data[n:]
		if len(head.data) == 0 {
			l.queue = l.queue[1:]
		}
	}
	l.size -= total
	return total
}

// deadline wakes everybody when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(p *pipe, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, p.broadcast)
	}
}
