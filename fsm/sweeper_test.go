package fsm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// inBubble runs f with a log whose clock is the bubble's, and whose members
// sweep every second.
func inBubble(t *testing.T, members int, f func(t *testing.T, l *memLog), configure ...func(*Config)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, dir, members, append([]func(*Config){func(c *Config) { c.SweepInterval = time.Second }}, configure...)...)
		began := time.Now()
		l.clock = func() session.Time { return midnight.Add(time.Since(began)) }
		defer l.close()
		f(t, l)
	})
}

// pass lets time pass, and all that is to happen in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTheSweeperEndsWhatHasExpiredOnceThereIsALeader(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, l *memLog) {
		leader := l.members[0]
		leader.login("alice", "")
		l.set(func() { l.leaderless = true })
		pass(time.Hour + 10*time.Second)
		if n := l.counted(); n != 1 {
			t.Errorf("%d commands without a leader", n)
		}
		l.set(func() { l.leaderless = false })
		pass(2 * time.Second)
		if f := leader.Figures(); f.Sweeps != 1 || f.Swept != 1 {
			t.Errorf("the leader has done %+v", f)
		}
		if v, err := leader.Stats(t.Context(), session.Consistency{}); err != nil || v.Sessions != 0 || v.Expired != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestAFollowerDoesNotSweep(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, l *memLog) {
		leader, follower := l.members[0], l.members[1]
		leader.login("alice", "")
		if err := leader.Close(); err != nil { // its sweeper, not its log
			t.Fatal(err)
		}
		pass(2 * time.Hour)
		if f := follower.Figures(); f.Sweeps != 0 || l.counted() != 1 {
			t.Errorf("the follower has done %+v", f)
		}
	})
}

func TestASweeperThatFindsNothingWritesNothing(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		token := m.login("alice", "").Token
		n := l.counted()
		pass(sweepAnyway * time.Second)
		if got := l.counted() - n; got != 0 {
			t.Errorf("%d commands in an idle minute", got)
		}
		pass(2 * sweepAnyway * time.Second) // for what is not worth looking for
		if got := l.counted() - n; got < 1 || got > 2 {
			t.Errorf("%d commands in two idle minutes more", got)
		}
		m.mustLive(token)
		pass(15 * time.Minute)
		if n := len(m.machine.incarnations); n != 0 {
			t.Errorf("%d incarnations are remembered", n)
		}
	})
}

func TestASweepComesInPiecesWithRestsBetween(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		fill(t, l, 3000) // a thousand of them expire after a second
		began, n := time.Now(), l.counted()
		var last time.Time
		for l.members[0].Figures().Swept < 1000 && last.Sub(began) < time.Minute {
			pass(sweepRest / 2)
			last = time.Now()
		}
		// The loop ends with the last of the thousand, before a sweep finds no more.
		if got := l.counted() - n; got != (1000+sweepPiece-1)/sweepPiece {
			t.Errorf("%d commands", got)
		}
		if took := last.Sub(began); took < time.Second || took > 2*time.Second+time.Duration(pieces(1000))*sweepRest {
			t.Errorf("all were gone after %v", took)
		}
	})
}

// pieces is how many sweeps it takes to find that no more than n are due.
func pieces(n int) int { return n/sweepPiece + 1 }

func TestASweepNeedsALeaderAndNoFreshNode(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		m.login("alice", "")
		l.set(func() { m.stale = true })
		pass(time.Hour + 2*time.Second)
		if f := m.Figures(); f.Swept != 1 {
			t.Errorf("the stale leader has done %+v", f)
		}
		l.set(func() { l.leaderless = true })
		_, err := m.Sweep(t.Context())
		wantCode(t, err, session.CodeNoLeader)
	})
}

func TestASweepWhoseCallerGoesAwaySaysThatMoreIsDue(t *testing.T) {
	l := newTestLog(t, 1)
	fill(t, l, 3*sweepPiece+3)
	l.advance(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := l.members[0].sweep(ctx, time.Hour)
	wantCode(t, err, session.CodeOverloaded)
	if out.Count != sweepPiece {
		t.Errorf("%d swept", out.Count)
	}
}

func TestTouchesGatherAndAreSentTogether(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, l *memLog) {
		m := l.members[1]
		ctx := t.Context()
		get := func(token session.Token, c session.Client) {
			t.Helper()
			_, err := m.Get(ctx, token, c, true, session.Consistency{})
			wantCode(t, err, "")
		}
		a, b := m.login("alice", "").Token, m.login("bob", "").Token
		n, events := l.counted(), len(m.events())
		for range 10 {
			get(a, session.Client{})
		}
		pass(3 * time.Second)
		if l.counted() != n {
			t.Error("activity within the touch interval was sent")
		}
		pass(time.Minute)
		for range 10 {
			get(a, session.Client{IP: "192.0.2.9", UserAgent: "new"})
			get(b, session.Client{})
		}
		if l.counted() != n {
			t.Error("a read has waited for a write")
		}
		active := l.clock()
		pass(touchPause + time.Millisecond)
		if got := l.counted() - n; got != 1 {
			t.Errorf("two sessions' activity made %d commands", got)
		}
		v := m.mustLive(a)
		if v.Session.LastActiveAt != active || v.Session.Device.IP != "192.0.2.9" || v.Session.Device.UserAgent != "new" ||
			v.Session.Device.FirstIP != "" || v.Session.Version != 1 {
			t.Errorf("after the touch: %+v", v.Session)
		}
		if f := m.Figures(); f.Touches != 2 || f.TouchesLost != 0 {
			t.Errorf("%+v", f)
		}
		get(a, session.Client{})
		pass(10 * time.Second)
		if got := l.counted() - n; got != 1 || len(m.events()) != events {
			t.Errorf("%d commands, %d events", got, len(m.events())-events)
		}
	}, func(c *Config) { c.SweepInterval = time.Hour })
}

func TestAReadWithoutTouchIsNoActivity(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		token := m.login("alice", "").Token
		pass(59 * time.Minute)
		m.mustLive(token)
		pass(10 * time.Second)
		if f := m.Figures(); f.Touches != 0 {
			t.Errorf("%+v", f)
		}
	})
}

func TestATouchInTheLastQuarterGoesAtOnce(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		token := m.login("alice", "").Token
		pass(45*time.Minute + 500*time.Millisecond)
		_, err := m.Get(t.Context(), token, session.Client{}, true, session.Consistency{})
		wantCode(t, err, "")
		synctest.Wait()
		if f := m.Figures(); f.Touches != 1 {
			t.Errorf("%+v: it has not been sent at once", f)
		}
		pass(59 * time.Minute)
		m.mustLive(token)
	})
}

func TestALostTouchCostsNothingButATouchInterval(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		token := m.login("alice", "").Token
		get := func() {
			t.Helper()
			_, err := m.Get(t.Context(), token, session.Client{}, true, session.Consistency{})
			wantCode(t, err, "")
		}
		pass(2 * time.Minute)
		get()
		l.set(func() { l.leaderless = true })
		pass(2 * touchPause)
		if f := m.Figures(); f.TouchesLost != 1 || f.Touches != 0 {
			t.Errorf("%+v", f)
		}
		get()
		l.set(func() { l.leaderless = false })
		pass(2 * touchPause)
		if f := m.Figures(); f.TouchesLost != 1 || f.Touches != 1 {
			t.Errorf("%+v", f)
		}
	})
}

func TestTouchesAreBounded(t *testing.T) {
	ts := newTouches()
	for i := range maxTouchesHeld + 10 {
		ts.add(wireTouch{ID: session.ID{byte(i >> 16), byte(i >> 8), byte(i)}}, i%2 == 0)
	}
	total, first := 0, true
	var last []wireTouch
	for some := ts.take(); len(some) > 0; some = ts.take() {
		if len(some) > maxTouches {
			t.Fatalf("%d touches were taken at once", len(some))
		}
		for _, one := range some {
			if first && one.ID[2]%2 != 0 {
				t.Fatal("one that can wait went before the urgent ones")
			}
		}
		total, first, last = total+len(some), false, some
	}
	if total != maxTouchesHeld {
		t.Errorf("%d touches are held", total)
	}
	// What was taken last is not marked again until the next tick.
	ts.add(wireTouch{ID: session.ID{0xff}}, false)
	ts.add(wireTouch{ID: ts.take()[0].ID}, false)
	if got := len(ts.take()); got != 0 {
		t.Errorf("%d touches were sent twice", got)
	}
	ts.add(last[0], false)
	if got := len(ts.take()); got != 1 {
		t.Errorf("%d touches were taken: what was lost must be marked again", got)
	}
}

func TestMoreTouchesThanACommandHoldsMakeSeveral(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, l *memLog) {
		m := l.members[0]
		n := l.counted()
		for i := range maxTouches + 1 {
			m.touches.add(wireTouch{ID: session.ID{1, byte(i >> 8), byte(i)}, Active: midnight}, false)
		}
		pass(2 * touchPause)
		if got := l.counted() - n; got != 2 {
			t.Errorf("%d commands", got)
		}
	})
}
