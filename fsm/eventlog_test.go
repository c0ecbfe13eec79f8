package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfastdb/holdfast/session"
)

// manyEvents makes sessions of several users in entries of a few, so that their
// events lie in many blocks, and returns the sessions' ids.
func manyEvents(t *testing.T, l *memLog, entries int) (ids []session.ID) {
	t.Helper()
	for i := range entries {
		var commands [][]byte
		for k := range 2 {
			id := session.ID{0, byte(i >> 16), byte(i >> 8), byte(i), 0, byte(k), 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}
			ids = append(ids, id)
			user := fmt.Sprintf("user%d", (i/700+k)%5)
			if i%97 == 0 {
				user = "rare"
			}
			commands = append(commands, command(t, envelope{Type: cmdCreate, Actor: &wireActor{Service: true}}, createBody{
				ID: id, UserID: user, IdleMillis: 3_600_000, AbsMillis: 1 << 32,
			}))
		}
		if i%3 == 0 {
			commands = append(commands, command(t, envelope{Type: cmdRevoke, Actor: &wireActor{Service: true}}, revokeBody{Target: ids[len(ids)-1]}))
		}
		l.entry(commands...)
	}
	return ids
}

// paged reads all pages of a list.
func paged(t *testing.T, m *member, q session.ListEvents) (all []session.Event) {
	t.Helper()
	for {
		page, err := m.ListEvents(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if !page.More {
			return all
		}
		if page.Next.Compare(q.After) <= 0 {
			t.Fatalf("the page after %s goes on after %s", q.After, page.Next)
		}
		q.After = page.Next
	}
}

func TestEventsAreListedByUserSessionAndType(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	ids := manyEvents(t, l, 3*blockIndexes+100)
	all := m.events()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		q := session.ListEvents{Limit: 1 + random.IntN(session.MaxEventLimit)}
		switch random.IntN(4) {
		case 0:
			q.UserID = fmt.Sprintf("user%d", random.IntN(7)) // two of them have no events
		case 1:
			q.Session = ids[random.IntN(len(ids))]
		case 2:
			q.UserID, q.Type = "rare", session.EventRevoked
		}
		if random.IntN(2) == 0 {
			q.After = all[random.IntN(len(all))].ID
		}
		var want []session.Event
		for i := range all {
			if all[i].ID.Compare(q.After) > 0 && wants(&q, &all[i]) {
				want = append(want, all[i])
			}
		}
		if diff := cmp.Diff(want, paged(t, m, q)); diff != "" {
			t.Fatalf("round %d, %+v: %s", round, q, diff)
		}
	}
	if len(m.filters.ofBlock) == 0 {
		t.Error("no filter was made: nothing of this has tested them")
	}
}

// Who asks again for the events of somebody who has none reads next to nothing.
func TestBlocksInWhichNothingIsWantedArePassedOver(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	manyEvents(t, l, 4*blockIndexes)
	looked := func() int {
		q := session.ListEvents{UserID: "nobody", Limit: 10}
		page, scan := session.EventPage{More: true}, eventScan{filters: &m.filters, want: &q, trait: traitOf(&q)}
		for page.More {
			if err := m.machine.view(func(v view) error { return scan.piece(v, &page) }); err != nil {
				t.Fatal(err)
			}
		}
		return scan.looked
	}
	first, again := looked(), looked()
	if again*4 > first {
		t.Errorf("looked at %d, and at %d when asked again", first, again)
	}
}

func TestATrimmedLogOfEventsIsListedFromItsOldest(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	manyEvents(t, l, 2*blockIndexes)
	paged(t, m, session.ListEvents{UserID: "rare", Limit: 100}) // so that there are filters of what goes
	for more := true; more; {
		more = l.entry(command(t, envelope{Type: cmdSweep}, sweepBody{Limit: 4096, EventMillis: int64(time.Hour / time.Millisecond), EventCount: 500, IdempotencyKeys: 1}))[0].more
	}
	all := m.events()
	if len(all) != 500 {
		t.Fatalf("%d events are left", len(all))
	}
	if diff := cmp.Diff(all, paged(t, m, session.ListEvents{Limit: 77})); diff != "" {
		t.Error(diff)
	}
	page, err := m.ListEvents(t.Context(), session.ListEvents{Limit: 5})
	if err != nil || len(page.Events) != 5 || page.Index.Index < all[0].ID.Index {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestAPageOfEventsHasALimit(t *testing.T) {
	m := newTestMember(t)
	if _, err := m.ListEvents(t.Context(), session.ListEvents{Limit: -1}); session.CodeOf(err) != session.CodeInvalidRequest {
		t.Error(err)
	}
	m.log.set(func() { m.stale, m.log.leaderless = true, true })
	_, err := m.ListEvents(t.Context(), session.ListEvents{})
	wantCode(t, err, session.CodeStaleNode)
	m.log.set(func() { m.stale, m.log.leaderless = false, false })
}
