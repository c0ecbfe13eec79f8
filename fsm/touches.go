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

// notice looks at who uses a session, and with touch marks it as active. Where
// the operator has it so, a session that is used by a strange client ends, and
// the error says that it has.
func (s *Sessions) notice(ctx context.Context, v *session.View, c session.Client, touch bool) error {
	change := s.cfg.Policy.ClientChange
	strange := change != session.ClientChangeOff && v.Session.Device.Strange(c) != ""
	if strange && change == session.ClientChangeRevoke {
		p, err := s.send(ctx, envelope{Type: cmdTouch}, s.touchBody([]wireTouch{touchOf(v, c)}))
		if err == nil && p.count > 0 {
			err = session.ErrSessionInvalid
		}
		return err
	}
	if strange || touch {
		s.touch(v, c, touch, strange)
	}
	return nil
}

// touch marks a session as active, at most once in a touch interval. In the last
// quarter of its idle time that is sent at once, and so is a strange client, also
// of a session that it does not make active.
func (s *Sessions) touch(v *session.View, c session.Client, active, strange bool) {
	idle, interval := v.Now.Sub(v.Session.LastActiveAt), s.cfg.Policy.TouchInterval
	strange = strange && (v.Session.StrangeAt == 0 || v.Now.Sub(v.Session.StrangeAt) >= interval)
	if (!active || idle < interval) && !strange {
		return
	}
	t := touchOf(v, c)
	if !active {
		t.Active = v.Session.LastActiveAt
	}
	s.touches.add(t, strange || idle > v.Session.IdleTimeout*3/4)
}

// touchOf names of the client what is new.
func touchOf(v *session.View, c session.Client) wireTouch {
	t := wireTouch{ID: v.Session.ID, Active: v.Now}
	c = c.Trimmed()
	if c.IP != v.Session.Device.IP {
		t.IP = c.IP
	}
	if c.UserAgent != v.Session.Device.UserAgent {
		t.UserAgent = c.UserAgent
	}
	return t
}

func (s *Sessions) touchBody(some []wireTouch) touchBody {
	return touchBody{
		Touches: some, Change: uint8(s.cfg.Policy.ClientChange), GapMillis: s.cfg.Policy.TouchInterval.Milliseconds(),
	}
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
	for urgent := s.touches.wake; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			urgent = s.touches.wake
		case <-urgent:
			urgent = nil // the next urgent ones wait for the tick: the log must not be filled with single touches
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
	p, err := s.send(ctx, envelope{Type: cmdTouch}, s.touchBody(some))
	if err != nil {
		s.figures.touchesLost.Add(uint64(len(some)))
		return
	}
	s.figures.touches.Add(p.count)
}
