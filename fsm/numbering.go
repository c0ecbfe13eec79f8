package fsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// laneWidth is how many commands of one incarnation may lie between the oldest
// that is still waited for and the youngest. It is well below maxOutstanding:
// the machine must never refuse what is within it.
const laneWidth = maxOutstanding / 2

// numbering gives each command of a service its request id. Where one command
// waits for long, the others go on under another incarnation, rather than fill
// the machine's memory of this one.
type numbering struct {
	rand io.Reader

	mu  sync.Mutex // guards all below, and every lane
	now *lane
}

// lane is one incarnation.
type lane struct {
	incarnation uint64
	next        uint64
	lowest      uint64              // nobody waits for any below
	ended       map[uint64]struct{} // those above lowest that nobody waits for
}

// begin returns the next request's id. end must be called once nobody waits for
// the request any more.
func (n *numbering) begin() (requestID, *lane, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil || n.now.next-n.now.lowest >= laneWidth {
		var raw [8]byte
		if _, err := io.ReadFull(n.rand, raw[:]); err != nil {
			return requestID{}, nil, fmt.Errorf("draw an incarnation: %w", err)
		}
		n.now = &lane{incarnation: binary.BigEndian.Uint64(raw[:]), next: 1, lowest: 1, ended: make(map[uint64]struct{})}
	}
	l := n.now
	id := requestID{Incarnation: l.incarnation, Sequence: l.next, Lowest: l.lowest}
	l.next++
	return id, l, nil
}

func (n *numbering) end(l *lane, sequence uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.ended[sequence] = struct{}{}
	for {
		if _, ok := l.ended[l.lowest]; !ok {
			return
		}
		delete(l.ended, l.lowest)
		l.lowest++
	}
}
