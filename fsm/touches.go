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
	// maxTouches of one command, and of one tick: a node whose every read finds
	// another session must not turn all its reads into writes.
	maxTouches = 1024
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
	urgent  map[session.ID]wireTouch // go first
	waiting map[session.ID]wireTouch
	sent    map[session.ID]wireTouch // the last that were sent: this node's table may not show them yet
}

func newTouches() touches {
	return touches{
		wake: make(chan struct{}, 1), urgent: make(map[session.ID]wireTouch), waiting: make(map[session.ID]wireTouch),
	}
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
	if len(t.urgent)+len(t.waiting) >= maxTouchesHeld {
		return
	}
	for _, known := range []map[session.ID]wireTouch{t.urgent, t.sent} {
		if _, ok := known[one.ID]; ok {
			return
		}
	}
	_, waits := t.waiting[one.ID]
	switch {
	case urgent:
		delete(t.waiting, one.ID)
		t.urgent[one.ID] = one
		t.notify()
	case !waits:
		t.waiting[one.ID] = one
	}
}

func (t *touches) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take returns the next touches to send, at most maxTouches, the urgent ones
// first. What must wait loses nothing: it is sent with a later tick, and long
// before its session's idle time is over it becomes urgent.
func (t *touches) take() []wireTouch {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = make(map[session.ID]wireTouch)
	var some []wireTouch
	for _, from := range []map[session.ID]wireTouch{t.urgent, t.waiting} {
		for id, one := range from {
			if len(some) == maxTouches {
				break
			}
			some = append(some, one)
			t.sent[id] = one
			delete(from, id)
		}
	}
	if len(t.urgent) > 0 {
		t.notify()
	}
	return some
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
		if some := s.touches.take(); len(some) > 0 {
			s.sendTouches(ctx, some)
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
