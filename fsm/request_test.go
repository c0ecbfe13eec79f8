package fsm

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func TestALostAnswerDoesNothingTwice(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	lose := func() { l.answersLost = 1 }

	lose()
	token := m.login("alice", `{"n":1}`).Token
	m.mustLive(token)
	lose()
	v, err := m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":2}`), IfVersion: 1})
	wantCode(t, err, "")
	if v.Session.Version != 2 || string(v.Session.Data) != `{"n":2}` {
		t.Errorf("version %d: %s", v.Session.Version, v.Session.Data)
	}
	lose()
	_, err = m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":2}`), IfVersion: 1})
	wantCode(t, err, session.CodeVersionConflict)
	lose()
	_, err = m.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
	wantCode(t, err, "")
	lose()
	out, err := m.Revoke(t.Context(), session.Revoke{Actor: holder(token)})
	wantCode(t, err, "")
	if out.Count != 1 {
		t.Errorf("the revocation says that it ended %d", out.Count)
	}
	if got := strings.Join(m.happened(0), ", "); got != "created, updated, refreshed, revoked logout" {
		t.Errorf("events %s", got)
	}
}

// try commits one create of a user with its own request id.
func try(t *testing.T, l *memLog, r requestID, proposed session.Time) reply {
	t.Helper()
	id := session.ID{byte(r.Incarnation), byte(r.Sequence >> 8), byte(r.Sequence), 1}
	return l.entry(command(t, envelope{
		Type: cmdCreate, Request: &r, ProposedAt: proposed, Actor: &wireActor{Service: true},
	}, createBody{ID: id, UserID: "alice", IdleMillis: 1000, AbsMillis: 1000}))[0]
}

func TestRequestIDs(t *testing.T) {
	type step struct {
		after    time.Duration
		sequence uint64
		lowest   uint64
		age      time.Duration // since it was first proposed
		want     code
		index    uint64 // of the reply: where the command took effect
	}
	for name, steps := range map[string][]step{
		"a repetition has the first one's outcome": {
			{0, 1, 1, 0, codeOK, 2}, {0, 2, 1, 0, codeOK, 3}, {0, 1, 1, 0, codeOK, 2}, {time.Minute, 2, 1, time.Minute, codeOK, 3},
		},
		"what came out of order is known as well": {
			{0, 3, 1, 0, codeOK, 2}, {0, 1, 1, 0, codeOK, 3}, {0, 2, 1, 0, codeOK, 4}, {0, 1, 1, 0, codeOK, 3}, {0, 3, 1, 0, codeOK, 2},
		},
		"below the low-water mark nobody waits": {
			{0, 1, 1, 0, codeOK, 2},
			{0, 3, 3, 0, codeOK, 3},
			{0, 1, 1, 0, codeOutcomeUnknown, 4},
			{0, 2, 1, 0, codeOutcomeUnknown, 5},
			{0, 3, 3, 0, codeOK, 3},
		},
		"a command that was proposed long ago is refused": {
			{0, 1, 1, commandLifetime, codeOK, 2},
			{0, 2, 1, commandLifetime + time.Millisecond, codeOutcomeUnknown, 3},
			{0, 1, 1, commandLifetime + time.Hour, codeOK, 2},
		},
		"an incarnation is forgotten, and what it had proposed is too old by then": {
			{0, 1, 1, 0, codeOK, 2}, {incarnationKept + time.Millisecond, 1, 1, incarnationKept, codeOutcomeUnknown, 5},
		},
		"a window has its width and no more": {
			{0, 1, 1, 0, codeOK, 2},
			{0, maxOutstanding, 1, 0, codeOK, 3},
			{0, maxOutstanding + 1, 1, 0, codeOverloaded, 4},
			{0, maxOutstanding + 1, 2, 0, codeOK, 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 2)
			for _, s := range steps {
				if l.advance(s.after); s.after > incarnationKept {
					l.entry(command(t, envelope{Type: cmdSweep}, sweepBody{Limit: 1, EventMillis: 1 << 40, EventCount: 1 << 20}))
					l.tick()
					if n := len(l.members[0].machine.incarnations); n != 0 {
						t.Fatalf("%d incarnations are remembered", n)
					}
				}
				p := try(t, l, requestID{Incarnation: 7, Sequence: s.sequence, Lowest: s.lowest}, l.now.Add(-s.age))
				if p.code != s.want || p.index != s.index {
					t.Errorf("%+v: code %d, index %d", s, p.code, p.index)
				}
			}
		})
	}
}

func TestACommandWhoseIncarnationIsForgottenMakesNoSecondSession(t *testing.T) {
	l := newTestLog(t, 1)
	first := try(t, l, requestID{Incarnation: 1, Sequence: 1, Lowest: 1}, l.now)
	// The same id under another request id: the machine cannot know what it was.
	e := envelope{Type: cmdCreate, Request: &requestID{Incarnation: 2, Sequence: 1, Lowest: 1}, ProposedAt: l.now, Actor: &wireActor{Service: true}}
	again := l.entry(command(t, e, createBody{ID: first.id, UserID: "mallory", IdleMillis: 1000, AbsMillis: 1000}))[0]
	if again.code != codeOutcomeUnknown {
		t.Errorf("a create over a live session was answered with %d", again.code)
	}
}

func TestARequestBelowItsOwnLowestIsImpossible(t *testing.T) {
	for name, r := range map[string]requestID{
		"below": {Incarnation: 1, Sequence: 1, Lowest: 2},
		"zero":  {Incarnation: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 1)
			mustPanic(t, "below its own lowest", func() {
				e := l.members[0].machine.begin(2, int64(midnight), 1)
				e.apply(command(t, envelope{Type: cmdRefresh, Request: &r}, nil))
			})
			clear(l.members[0].machine.incarnations)
		})
	}
}

func TestWhatTheMachineCannotReadStopsTheNode(t *testing.T) {
	good := command(t, envelope{Type: cmdTick}, nil)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	newer := command(t, envelope{Type: 99}, nil)
	for name, c := range map[string]struct {
		command []byte
		says    string
	}{
		"a flipped bit":         {flipped, "checksum"},
		"nothing":               {nil, "checksum"},
		"an unknown command":    {newer, "upgrade this node"},
		"a command and no body": {command(t, envelope{Type: cmdPatch, Actor: &wireActor{Service: true}}, nil), "body of command 3"},
		"an unknown field":      {command(t, envelope{Type: cmdRevoke, Actor: &wireActor{Service: true}, Body: []byte{0xa1, 9, 1}}, nil), "body of command 7"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestMember(t)
			mustPanic(t, c.says, func() { m.machine.begin(2, int64(midnight), 1).apply(c.command) })
		})
	}
}

func TestAnUnknownCommandThatMayBeIgnoredIsPassedOver(t *testing.T) {
	l := newTestLog(t, 2)
	p := l.entry(command(t, envelope{Type: 99, Ignorable: true}, nil))[0]
	if p.code != codeIgnored || session.CodeOf(p.err()) != session.CodeInternal {
		t.Errorf("got %+v", p)
	}
}

func mustPanic(t *testing.T, says string, f func()) {
	t.Helper()
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), says) {
			t.Errorf("panicked with %v, want %q", r, says)
		}
	}()
	f()
}

func TestARefusalThatNobodyPlannedForPanics(t *testing.T) {
	if p := refused(session.ErrVersionConflict.With("other words")); p.code != codeVersionConflict || p.detail != "other words" {
		t.Errorf("got %+v", p)
	}
	if p := refused(session.ErrVersionConflict); p.code != codeVersionConflict || p.detail != "" {
		t.Errorf("got %+v", p)
	}
	mustPanic(t, "disk on fire", func() { refused(errors.New("disk on fire")) })
}

func TestALongWaitMovesTheOthersToAnotherIncarnation(t *testing.T) {
	n := numbering{rand: testRand(1)}
	slow, slowLane, err := n.begin()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]uint64{}
	for range 3 * laneWidth {
		id, lane, err := n.begin()
		if err != nil {
			t.Fatal(err)
		}
		if id.Sequence-id.Lowest >= maxOutstanding {
			t.Fatalf("request %+v is out of the machine's window", id)
		}
		seen[id.Incarnation]++
		n.end(lane, id.Sequence)
	}
	if len(seen) != 2 || seen[slow.Incarnation] != laneWidth-1 {
		t.Errorf("incarnations %v", seen)
	}
	if slowLane.lowest != slow.Sequence {
		t.Error("the mark has passed a command that is waited for")
	}
	n.end(slowLane, slow.Sequence)
	if len(slowLane.ended) != 0 || slowLane.lowest != laneWidth+1 {
		t.Errorf("%d ended are kept, the lowest is %d", len(slowLane.ended), slowLane.lowest)
	}
}

func TestManyServicesAtOnceAgree(t *testing.T) {
	l := newTestLog(t, 2)
	var wait sync.WaitGroup
	token := l.members[0].login("alice", "").Token
	for i := range 8 {
		m := l.members[i%2]
		wait.Go(func() {
			for k := range 20 {
				_, err := m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: fmt.Appendf(nil, `{"k%d-%d":1}`, i, k)})
				if err != nil {
					t.Error(err)
				}
				if _, err := m.get(token); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if v := l.members[1].mustLive(token); v.Session.Version != 161 {
		t.Errorf("160 patches have made version %d", v.Session.Version)
	}
	for _, inc := range l.members[0].machine.incarnations {
		if len(inc.outcomes) > 8 {
			t.Errorf("%d outcomes are kept of 4 callers", len(inc.outcomes))
		}
	}
}
