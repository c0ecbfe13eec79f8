package fsm

import (
	"context"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// touchPause is how long touches gather before they are sent together.
	touchPause = 2 * time.Second
	// touchTimeout bounds one attempt to send them.
	touchTimeout = 5 * time.Second
	// maxTouches of one command: a command decodes at most 4,096 array elements.
	maxTouches = 2048
	// maxTouchesHeld bounds what gathers. More are dropped: activity is marked
	// again by the next read.
	maxTouchesHeld = 1 << 17
)

// touches gathers activity that this node has seen, each session once, to be
// sent to the log together. What is lost with the node costs a session nothing
// but a touch interval.
type touches struct {
	wake chan struct{} // one of them is urgent

	mu      sync.Mutex
	waiting map[session.ID]wireTouch
	sent    map[session.ID]wireTouch // the last that were sent: this node's table may not show them yet
}

func newTouches() touches {
	return touches{wake: make(chan struct{}, 1), waiting: make(map[session.ID]wireTouch)}
}

// touch marks a session that was read as active, at most once in a touch
// interval; in the last quarter of its idle time that is sent at once.
func (s *Sessions) touch(v *session.View, c session.Client) {
	idle := v.Now.Sub(v.Session.LastActiveAt)
	if idle < s.cfg.Policy.TouchInterval {
		return
	}
	t := wireTouch{ID: v.Session.ID, Active: v.Now}
	c = c.Trimmed()
	if c.IP != v.Session.Device.IP {
		t.IP = c.IP
	}
	if c.UserAgent != v.Session.Device.UserAgent {
		t.UserAgent = c.UserAgent
	}
	s.touches.add(t, idle > v.Session.IdleTimeout*3/4)
}

func (t *touches) add(one wireTouch, urgent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.waiting[one.ID]; known || len(t.waiting) >= maxTouchesHeld {
		return
	}
	if _, known := t.sent[one.ID]; known {
		return
	}
	t.waiting[one.ID] = one
	if urgent {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// take returns what has gathered.
func (t *touches) take() []wireTouch {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent, t.waiting = t.waiting, make(map[session.ID]wireTouch)
	all := make([]wireTouch, 0, len(t.sent))
	for _, one := range t.sent {
		all = append(all, one)
	}
	return all
}

// runTouches sends what has gathered until ctx ends.
func (s *Sessions) runTouches(ctx context.Context) {
	tick := time.NewTicker(touchPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.touches.wake:
		}
		for all := s.touches.take(); len(all) > 0; {
			n := min(len(all), maxTouches)
			s.sendTouches(ctx, all[:n])
			all = all[n:]
		}
	}
}

// sendTouches has no request id: a touch that comes twice changes nothing.
func (s *Sessions) sendTouches(ctx context.Context, some []wireTouch) {
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	p, err := s.send(ctx, envelope{Type: cmdTouch}, touchBody{Touches: some})
	if err != nil {
		s.figures.touchesLost.Add(uint64(len(some)))
		return
	}
	s.figures.touches.Add(p.count)
}
