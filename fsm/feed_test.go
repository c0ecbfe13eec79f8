package fsm

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfastdb/holdfast/session"
)

// follow begins a stream of what happens from now on, which the test ends.
func (m *member) follow(t *testing.T, want session.Follow) session.Stream {
	t.Helper()
	want.After = session.EventID{Index: m.Index().Index, Ordinal: math.MaxUint32}
	stream, err := m.Follow(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return stream
}

// next reads n events.
func next(t *testing.T, from session.Stream, n int) (events []session.Event) {
	t.Helper()
	for range n {
		e, err := from.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(events), n, err)
		}
		events = append(events, e)
	}
	return events
}

// A stream that begins while events happen holds each of them once, in order,
// on any node and from wherever it resumes.
func TestAStreamHasNoGapAndNoDouble(t *testing.T) {
	l := newTestLog(t, 2)
	const sessions = 300
	first := l.members[0].login("alice", "")
	stop, resumed := make(chan struct{}), session.EventID{}
	var writer sync.WaitGroup
	writer.Go(func() {
		for range sessions {
			l.members[0].login("alice", "")
		}
		close(stop)
	})
	// Streams come and go meanwhile, each going on where the last one has stopped.
	var got []session.Event
	for len(got) < sessions+1 {
		stream, err := l.members[len(got)%2].Follow(t.Context(), session.Follow{UserID: "alice", After: resumed})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, next(t, stream, min(37, sessions+1-len(got)))...)
		resumed = got[len(got)-1].ID
		stream.Close()
	}
	<-stop
	writer.Wait()
	if diff := cmp.Diff(l.members[0].events(), got); diff != "" {
		t.Error(diff)
	}
	if got[0].SessionID != first.Token.ID {
		t.Error("the first event is not that of the first session")
	}
}

func TestAStreamTellsOnlyWhatItWasAskedFor(t *testing.T) {
	m := newTestMember(t)
	alice, bob := m.login("alice", ""), m.login("bob", "")
	of := map[string]session.Stream{
		"session": m.follow(t, session.Follow{Session: alice.Token.ID}),
		"user":    m.follow(t, session.Follow{UserID: "bob"}),
		"type":    m.follow(t, session.Follow{Type: session.EventRevoked}),
		"all":     m.follow(t, session.Follow{}),
	}
	for _, token := range []session.Token{alice.Token, bob.Token} {
		if _, err := m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Revoke(t.Context(), session.Revoke{Actor: holder(token)}); err != nil {
			t.Fatal(err)
		}
	}
	all := m.events()[2:]
	for name, want := range map[string][]session.Event{
		"session": all[:2], "user": all[2:], "type": {all[1], all[3]}, "all": all,
	} {
		if diff := cmp.Diff(want, next(t, of[name], len(want))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestASlowReaderIsDroppedAndTheOthersAreNot(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	slow, other := m.follow(t, session.Follow{}), m.follow(t, session.Follow{UserID: "bob"})
	ids := fill(t, l, maxQueued+1) // in one entry, so that nobody can read in between
	_ = ids
	m.login("bob", "")
	next(t, other, 1) // all before it has been dealt out
	if _, err := slow.Next(t.Context()); session.CodeOf(err) != session.CodeOverloaded {
		t.Errorf("%v, want that it was too slow", err)
	}
}

func TestAStreamEndsWhenItsNodeIsNoLongerFresh(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	stream := m.follow(t, session.Follow{})
	m.checkFeed(t.Context())
	l.members[0].login("alice", "")
	next(t, stream, 1)
	l.set(func() { m.stale, l.leaderless = true, true })
	m.checkFeed(t.Context())
	_, err := stream.Next(t.Context())
	wantCode(t, err, session.CodeStaleNode)
	_, err = m.Follow(t.Context(), session.Follow{})
	wantCode(t, err, session.CodeStaleNode)
	l.set(func() { m.stale, l.leaderless = false, false })
}

func TestAStreamGoesOnAfterACatchUpFromAnArchive(t *testing.T) {
	l := newTestLog(t, 2)
	leader, far := l.members[0], l.members[1]
	leader.login("alice", "")
	stream := far.follow(t, session.Follow{})
	l.set(func() { far.behind = true })
	for range 20 {
		leader.login("alice", "")
	}
	leader.flush()
	if err := far.machine.Import(bytes.NewReader(leader.exported())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(leader.events()[1:], next(t, stream, 20)); diff != "" {
		t.Error(diff)
	}
	l.set(func() { far.behind = false })
}

func TestStreamsHaveALimitAndEndWithTheService(t *testing.T) {
	m := newTestMember(t, func(c *Config) { c.MaxStreams = 2 })
	first, second := m.follow(t, session.Follow{}), m.follow(t, session.Follow{UserID: "alice"})
	_, err := m.Follow(t.Context(), session.Follow{})
	wantCode(t, err, session.CodeOverloaded)
	first.Close()
	third := m.follow(t, session.Follow{})
	if _, err := first.Next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("a closed stream says %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []session.Stream{second, third} {
		_, err := stream.Next(t.Context())
		wantCode(t, err, session.CodeDraining)
	}
	_, err = m.Follow(t.Context(), session.Follow{})
	wantCode(t, err, session.CodeDraining)
}

// A stream that comes from a node that was further tells nothing twice.
func TestAStreamResumesOnANodeThatIsBehind(t *testing.T) {
	l := newTestLog(t, 2)
	leader, slow := l.members[0], l.members[1]
	leader.login("alice", "")
	l.set(func() { slow.behind = true })
	for range 5 {
		leader.login("alice", "")
	}
	all := leader.events()
	stream, err := slow.Follow(t.Context(), session.Follow{After: all[3].ID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	l.set(func() { slow.behind = false })
	leader.login("alice", "")
	if diff := cmp.Diff(leader.events()[4:], next(t, stream, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestAnIDBeyondTheLogDoesNotMakeAStreamDeaf(t *testing.T) {
	m := newTestMember(t)
	stream, err := m.Follow(t.Context(), session.Follow{After: session.EventID{Index: 1 << 60, Ordinal: 7}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	m.login("alice", "")
	next(t, stream, 1)
	page, err := m.ListEvents(t.Context(), session.ListEvents{After: session.EventID{Index: math.MaxUint64, Ordinal: math.MaxUint32}})
	if err != nil || len(page.Events) != 0 || page.More {
		t.Errorf("behind the last id there is is %+v, %v", page, err)
	}
}

func TestAllThatAStreamAsksForMustHold(t *testing.T) {
	m := newTestMember(t)
	alice := m.login("alice", "")
	none, one := m.follow(t, session.Follow{Session: alice.Token.ID, UserID: "bob"}), m.follow(t, session.Follow{Session: alice.Token.ID, UserID: "alice"})
	if _, err := m.Revoke(t.Context(), session.Revoke{Actor: holder(alice.Token)}); err != nil {
		t.Fatal(err)
	}
	next(t, one, 1)
	if e, ok, err := none.(*follower).queued(); ok || err != nil {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestOneSessionCannotTakeAllStreams(t *testing.T) {
	m := newTestMember(t)
	alice := m.login("alice", "").Token.ID
	for range maxOfOne {
		m.follow(t, session.Follow{Session: alice})
	}
	_, err := m.Follow(t.Context(), session.Follow{Session: alice})
	wantCode(t, err, session.CodeOverloaded)
	m.follow(t, session.Follow{Session: m.login("bob", "").Token.ID})
}
