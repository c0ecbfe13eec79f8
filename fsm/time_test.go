package fsm

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func TestASessionEndsToTheMillisecond(t *testing.T) {
	l := newTestLog(t, 2)
	leader, m := l.members[0], l.members[1]
	token := leader.login("alice", "").Token
	l.advance(time.Hour - time.Millisecond)
	m.mustLive(token)
	_, err := m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"last":true}`)})
	wantCode(t, err, "")
	l.advance(time.Millisecond)
	m.mustDead(token)
	leader.mustDead(token)
	_, err = m.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
	wantCode(t, err, session.CodeSessionInvalid)
}

func TestAnAbsoluteExpiryIsNotExtended(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	token := m.created(session.Create{Actor: service(), UserID: "alice", AbsoluteTimeout: 90 * time.Minute}).Token
	l.advance(50 * time.Minute)
	v, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
	wantCode(t, err, "")
	if got := v.Session.ExpiresAt(); got != midnight.Add(90*time.Minute) {
		t.Errorf("expires at %v", got)
	}
	l.advance(40 * time.Minute)
	m.mustDead(token)
}

func TestExpiredIsSaidOnlyOnceAnEntrySaysSo(t *testing.T) {
	t.Run("a tick is committed, once", func(t *testing.T) {
		l := newTestLog(t, 2)
		m := l.members[1]
		token := m.login("alice", "").Token
		l.advance(time.Hour)
		n := l.counted()
		m.mustDead(token)
		if got := l.counted() - n; got != 1 {
			t.Errorf("%d ticks were committed, want 1", got)
		}
		m.mustDead(token)
		_, err := m.ByID(t.Context(), token.ID, session.Consistency{Strong: true})
		wantCode(t, err, session.CodeNotFound)
		if got := l.counted() - n; got != 1 {
			t.Errorf("%d ticks were committed, want 1", got)
		}
	})
	t.Run("none is needed where an entry is late enough", func(t *testing.T) {
		l := newTestLog(t, 1)
		m := l.members[0]
		token := m.login("alice", "").Token
		l.advance(time.Hour)
		l.tick()
		n := l.counted()
		m.mustDead(token)
		if l.counted() != n {
			t.Error("a tick was committed for nothing")
		}
	})
	t.Run("without a leader there is no answer", func(t *testing.T) {
		l := newTestLog(t, 1)
		m := l.members[0]
		token := m.login("alice", "").Token
		l.advance(time.Hour)
		l.leaderless = true
		_, err := m.get(token)
		wantCode(t, err, session.CodeNoLeader)
		l.leaderless = false
	})
	t.Run("a node whose bound is too high waits for the log's own clock", func(t *testing.T) {
		l := newTestLog(t, 1)
		m := l.members[0]
		token := m.login("alice", "").Token
		l.advance(time.Hour - 3*time.Second)
		m.ahead = 3 * time.Second // a whole second and more early
		// Each barrier finds the node better informed.
		l.onBarrier = func() { m.ahead = max(0, m.ahead-time.Second) }
		m.mustLive(token)
		l.advance(3 * time.Second)
		m.mustDead(token)
	})
}

func TestTheLogsClockNeverGoesBack(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[0]
	token := m.login("alice", "").Token
	l.advance(time.Hour)
	l.tick()
	l.advance(-2 * time.Hour) // a new leader, and a wrong one
	p := l.entry(command(t, envelope{Type: cmdTick}, nil))[0]
	if p.now != midnight.Add(time.Hour) {
		t.Errorf("the entry is of %v", p.now)
	}
	l.entries[len(l.entries)-1].stamp = 0 // even if it says so itself
	l.entry(command(t, envelope{Type: cmdSweep}, m.sweepBody()))
	if v, _ := m.Stats(t.Context(), session.Consistency{}); v.Sessions != 0 {
		t.Error("the session has come back")
	}
	l.now = midnight.Add(time.Hour)
	m.mustDead(token)
}

func TestAnExtendedSessionIsQueuedAnewByTheSweepAndByNothingElse(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[0]
	token := m.login("alice", "").Token
	queued := func() session.Time {
		t.Helper()
		var at []session.Time
		_ = m.table.Scan([]byte{prefixExpiry}, after([]byte{prefixExpiry}), func(key, _ []byte) bool {
			at = append(at, keyTime(key))
			return true
		})
		if len(at) != 1 {
			t.Fatalf("the session is queued for %v", at)
		}
		return at[0]
	}
	l.advance(30 * time.Minute)
	_, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
	wantCode(t, err, "")
	if got := queued(); got != midnight.Add(time.Hour) {
		t.Errorf("after the refresh it is queued for %v", got)
	}
	l.advance(30 * time.Minute)
	n := len(m.events())
	out, err := m.Sweep(t.Context())
	wantCode(t, err, "")
	if got := queued(); out.Count != 0 || got != midnight.Add(90*time.Minute) {
		t.Errorf("%d swept, and it is queued for %v", out.Count, got)
	}
	m.mustLive(token)
	l.advance(30 * time.Minute)
	out, err = m.Sweep(t.Context())
	wantCode(t, err, "")
	if got := m.happened(n); out.Count != 1 || !slices.Equal(got, []string{"expired"}) {
		t.Errorf("%d swept, events %v", out.Count, got)
	}
}

func TestATouchRacesASweep(t *testing.T) {
	touchAt := func(id session.ID, at session.Time) []byte {
		return command(t, envelope{Type: cmdTouch}, touchBody{Touches: []wireTouch{{ID: id, Active: at}}})
	}
	for name, c := range map[string]struct {
		active time.Duration // since midnight
		order  string
		lives  bool
	}{
		"the touch is first":                         {time.Hour - 1, "touch sweep", true},
		"the sweep is first, and not yet due":        {time.Hour - 1, "sweep touch", true},
		"both are late: the touch comes too late":    {time.Hour - 1, "late touch sweep", false},
		"both are late, and the sweep comes first":   {time.Hour - 1, "late sweep touch", false},
		"a touch that claims the future claims now":  {99 * time.Hour, "touch sweep", true},
		"a touch from before changes nothing":        {-time.Hour, "touch late sweep", false},
		"a touch in the same entry counts before it": {time.Hour - 1, "touch+sweep", true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 2)
			m := l.members[0]
			token := m.login("alice", "").Token
			touch := touchAt(token.ID, midnight.Add(c.active))
			sweep := command(t, envelope{Type: cmdSweep}, m.sweepBody())
			l.advance(time.Hour - time.Millisecond)
			switch c.order {
			case "touch sweep":
				l.entry(touch)
				l.entry(sweep)
			case "sweep touch":
				l.entry(sweep)
				l.entry(touch)
			case "touch+sweep":
				l.entry(touch, sweep)
			case "late touch sweep":
				l.advance(time.Millisecond)
				l.entry(touch)
				l.entry(sweep)
			case "late sweep touch":
				l.advance(time.Millisecond)
				l.entry(sweep)
				l.entry(touch)
			case "touch late sweep":
				l.entry(touch)
				l.advance(time.Millisecond)
				l.entry(sweep)
			}
			l.now = midnight.Add(time.Hour)
			if !c.lives {
				m.mustDead(token)
				return
			}
			v := m.mustLive(token)
			if v.Session.LastActiveAt > midnight.Add(time.Hour) {
				t.Errorf("active at %v, in the future", v.Session.LastActiveAt)
			}
			l.entry(sweep)
			m.mustLive(token)
		})
	}
}

// With no login to remember for, a not-before is due at once; a sweep of that
// very millisecond must not hide it from the next one on one node, and not on
// another that has restarted since.
func TestANotBeforeThatIsKeptForNoTimeIsStillForgottenOnEveryNode(t *testing.T) {
	l := newTestLog(t, 2, func(c *Config) { c.LoginLifetime = 0 })
	m := l.members[0]
	revoke := func(user string) {
		t.Helper()
		_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: user})
		wantCode(t, err, "")
	}
	revoke("bob")
	_, err := m.Sweep(t.Context())
	wantCode(t, err, "")
	revoke("alice") // in the millisecond of the sweep, and before bob in the index
	l.members[1].crash()
	l.advance(time.Hour)
	l.entry(command(t, envelope{Type: cmdSweep}, m.sweepBody()))
	for i, m := range l.members {
		if _, ok, _, _ := m.machine.look(accountKey("alice")); ok {
			t.Errorf("member %d remembers it for ever", i+1)
		}
	}
}

func TestASweepGoesInPiecesAndForgetsEventsByAgeAndCount(t *testing.T) {
	t.Run("sessions", func(t *testing.T) {
		l := newTestLog(t, 2)
		m := l.members[0]
		var creates [][]byte
		for i := range 1300 {
			creates = append(creates, command(t, envelope{Type: cmdCreate, Actor: &wireActor{Service: true}}, createBody{
				ID: session.ID{1, byte(i >> 8), byte(i)}, UserID: "alice", IdleMillis: 1000, AbsMillis: 2000,
			}))
		}
		l.entry(creates...)
		l.advance(time.Second)
		n := l.counted()
		out, err := m.Sweep(t.Context())
		wantCode(t, err, "")
		if got := l.counted() - n; out.Count != 1300 || got != pieces(1300) {
			t.Errorf("%d swept in %d commands", out.Count, got)
		}
	})
	t.Run("old events", func(t *testing.T) {
		l := newTestLog(t, 2, func(c *Config) { c.EventsKept = time.Hour })
		m := l.members[0]
		m.login("alice", "")
		l.advance(30 * time.Minute)
		m.login("bob", "")
		l.advance(30*time.Minute - time.Millisecond)
		_, err := m.Sweep(t.Context())
		wantCode(t, err, "")
		if n := len(m.events()); n != 2 {
			t.Errorf("%d events are left", n)
		}
		l.advance(time.Millisecond)
		_, err = m.Sweep(t.Context())
		wantCode(t, err, "")
		if got := m.happened(0); !slices.Equal(got, []string{"created", "expired"}) {
			t.Errorf("left are %v", got)
		}
		l.advance(48 * time.Hour)
		_, err = m.Sweep(t.Context())
		wantCode(t, err, "")
		m.login("carol", "")
		// Bob's end is told of by the sweep that also forgets all before it.
		if got := m.happened(0); !slices.Equal(got, []string{"expired", "created"}) {
			t.Errorf("left are %v", got)
		}
	})
	t.Run("too many events", func(t *testing.T) {
		l := newTestLog(t, 2, func(c *Config) { c.MaxEvents = 5 })
		m := l.members[0]
		token := m.login("alice", "").Token
		for range 1200 {
			l.entry(command(t, envelope{Type: cmdRefresh, Actor: actorToWire(holder(token))}, nil))
		}
		n := l.counted()
		_, err := m.Sweep(t.Context())
		wantCode(t, err, "")
		left := m.events()
		if got := l.counted() - n; got != pieces(1196) || len(left) != 5 || left[4].ID.Index != 1202 {
			t.Errorf("%d commands have left %d events, up to %s", got, len(left), left[len(left)-1].ID)
		}
	})
}
