package fsm

import (
	"testing"
	"time"
)

func TestTheBacklogShowsWhatTheSweeperHasNotReached(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, l *memLog) {
		m := l.members[0]
		m.login("alice", "")
		m.login("bob", "")
		if b, err := m.Backlog(); err != nil || b.Due != 0 || b.OldestDue != 0 {
			t.Errorf("nothing is due: %+v, %v", b, err)
		}
		l.set(func() { l.leaderless = true }) // nobody sweeps
		pass(time.Hour + 30*time.Second)
		b, err := m.Backlog()
		if err != nil || b.Due != 2 || b.OldestDue < 25*time.Second || b.OldestDue > 35*time.Second {
			t.Errorf("two sessions ended half a minute ago: %+v, %v", b, err)
		}
		l.set(func() { l.leaderless = false })
		pass(3 * time.Second)
		if b, err := m.Backlog(); err != nil || b.Due != 0 {
			t.Errorf("after the sweep: %+v, %v", b, err)
		}
	})
}
