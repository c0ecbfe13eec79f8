package wire

import (
	"bufio"
	"net"
	"sync"
	"time"
)

const (
	// bufferBytes of reading and writing, each way, a connection.
	bufferBytes = 64 << 10
	// writeTimeout: a peer that takes nothing for this long is gone.
	writeTimeout = 10 * time.Second
)

// outbox holds the frames that wait for a connection's one writer. Whatever
// gathers while a write is under way leaves together in the next: many small
// frames cost one system call, and a lone one waits for nothing.
type outbox struct {
	mu     sync.Mutex
	queue  []frame
	closed bool
	wake   chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put reports whether the frame was taken: a closed box takes none.
func (o *outbox) put(f frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.queue = append(o.queue, f)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// take waits for frames and hands all of them over; spare is the slice of the
// take before. false means that the box is closed.
func (o *outbox) take(spare []frame) ([]frame, bool) {
	clear(spare)
	for range o.wake {
		o.mu.Lock()
		batch := o.queue
		o.queue = spare[:0]
		o.mu.Unlock()
		if len(batch) > 0 {
			return batch, true
		}
		spare = batch
	}
	return nil, false
}

// close lets the writer go; frames that it has not taken are dropped.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	o.queue = nil
	close(o.wake)
}

// writeFrames writes what comes into the box until that is closed or a write
// fails. wanted is asked right before a frame's first byte is written; after
// each batch written is told how many frames of it left.
func writeFrames(conn net.Conn, o *outbox, wanted func(frame) bool, written func(int)) error {
	w := bufio.NewWriterSize(patient{conn}, bufferBytes)
	var header [headerSize]byte
	var batch []frame
	for {
		var ok bool
		if batch, ok = o.take(batch); !ok {
			return nil
		}
		left := 0
		for _, f := range batch {
			if !wanted(f) {
				continue
			}
			left++
			// A bufio.Writer keeps its first error: Flush returns it.
			_, _ = w.Write(f.appendHeader(header[:0]))
			_, _ = w.Write(f.body)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		written(left)
	}
}

// patient writes as long as the peer takes something: a deadline for the whole
// of a big body would cut off slow links, none at all would wait for the dead.
type patient struct{ conn net.Conn }

func (p patient) Write(b []byte) (int, error) {
	total := 0
	for len(b) > 0 {
		if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return total, err
		}
		n, err := p.conn.Write(b[:min(len(b), bufferBytes)])
		total += n
		if err != nil {
			return total, err
		}
		b = b[n:]
	}
	return total, nil
}
