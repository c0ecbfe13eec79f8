package fsm

import (
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// maxBacklog bounds the count of sessions that are due: who asks wants to know
// whether there are many, and asks every few seconds.
const maxBacklog = 10_000

// Backlog is what waits on a node, for its operator.
type Backlog struct {
	// Due is how many sessions wait for the sweeper, counted up to 10,000, and
	// OldestDue for how long the first of them has: it has ended, and is not
	// removed yet. On a node that is cut off both grow.
	Due       uint64
	OldestDue time.Duration
	// IdempotencyKeys are remembered by the machine.
	IdempotencyKeys uint64
	// Touches wait to be sent.
	Touches int
	// QueuedEvents wait for the readers of this node's event streams, LongestQueue
	// of them for one; StreamsDropped were ended, since the start, as too slow.
	QueuedEvents, LongestQueue int
	StreamsDropped             uint64
}

// Backlog looks at all queues of this node.
func (s *Sessions) Backlog() (Backlog, error) {
	b := Backlog{Touches: s.touches.held()}
	s.feed.backlog(&b)
	err := s.machine.backlog(session.Time(s.log.Now()), &b)
	return b, err
}

func (t *touches) held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.urgent) + len(t.waiting)
}

func (d *feed) backlog(b *Backlog) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.followers {
		b.QueuedEvents += len(f.queue)
		b.LongestQueue = max(b.LongestQueue, len(f.queue))
	}
	b.StreamsDropped = d.slow
}

// backlog fills in what the table tells as of now.
func (m *Machine) backlog(now session.Time, b *Backlog) error {
	return m.view(func(v view) error {
		err := v.Scan([]byte{prefixExpiry}, due(prefixExpiry, now), func(key, _ []byte) bool {
			if b.Due == 0 {
				b.OldestDue = now.Sub(keyTime(key))
			}
			b.Due++
			return b.Due < maxBacklog
		})
		if err != nil {
			return err
		}
		raw, ok, err := v.Get(metaStateKey)
		if err != nil || !ok {
			return err
		}
		kept, err := decodeMeta(raw)
		b.IdempotencyKeys = kept.idempotencies
		return err
	})
}
