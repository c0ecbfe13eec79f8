package fsm

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func TestALocalNoIsConfirmedByABarrier(t *testing.T) {
	for name, read := range map[string]func(m *member, token session.Token) error{
		"get": func(m *member, token session.Token) error {
			_, err := m.get(token)
			return err
		},
		"by id": func(m *member, token session.Token) error {
			_, err := m.ByID(context.Background(), token.ID, session.Consistency{})
			return err
		},
		"a command": func(m *member, token session.Token) error {
			_, err := m.Refresh(context.Background(), session.Refresh{Actor: holder(token)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 2)
			leader, follower := l.members[0], l.members[1]
			follower.behind = true
			token := leader.login("alice", "").Token
			l.leaderless = true
			wantCode(t, read(follower, token), session.CodeNoLeader) // never a 401
			l.leaderless = false
			wantCode(t, read(follower, token), "")
		})
	}
}

func TestASecretThatAStaleNodeFindsWrongMayBeTheNewOne(t *testing.T) {
	l := newTestLog(t, 2)
	leader, follower := l.members[0], l.members[1]
	create := session.Create{Actor: service(), UserID: "alice", Idempotency: idem(1, 1)}
	leader.created(create)
	follower.behind = true
	again := leader.created(create).Token
	follower.mustLive(again)
}

func TestAnExtendedSessionIsFoundByANodeThatThinksItExpired(t *testing.T) {
	l := newTestLog(t, 2)
	leader, follower := l.members[0], l.members[1]
	token := leader.login("alice", "").Token
	follower.behind = true
	l.advance(50 * time.Minute)
	_, err := leader.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
	wantCode(t, err, "")
	l.advance(50 * time.Minute)
	n := l.counted()
	follower.mustLive(token)
	if l.counted() != n {
		t.Error("a tick was committed for a session that lives")
	}
}

func TestANodeThatIsNotFreshSaysNothing(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	token := m.login("alice", "").Token
	m.stale, l.leaderless = true, true
	for name, err := range map[string]error{
		"get":   func() error { _, err := m.get(token); return err }(),
		"list":  func() error { _, err := m.List(t.Context(), session.List{UserID: "alice"}); return err }(),
		"stats": func() error { _, err := m.Stats(t.Context(), session.Consistency{}); return err }(),
		"login": m.CheckLogin(t.Context(), session.Login{UserID: "alice"}, session.Consistency{}),
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, err, session.CodeStaleNode) })
	}
	l.leaderless = false
	m.mustLive(token)
}

func TestANodeThatHasNeverBeenFreshAsksForTheTime(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	m.newborn = true
	created := m.login("alice", "")
	if created.Session.CreatedAt != midnight {
		t.Errorf("created at %v", created.Session.CreatedAt)
	}
	m.newborn, l.leaderless = true, true
	_, err := m.Create(t.Context(), session.Create{Actor: service(), UserID: "alice"})
	wantCode(t, err, session.CodeStaleNode)
	l.leaderless = false
}

func TestAWriteIsReadByWhoeverBringsItsIndex(t *testing.T) {
	l := newTestLog(t, 2)
	leader, follower := l.members[0], l.members[1]
	token := leader.login("alice", `{"n":1}`).Token
	follower.behind = true
	written, err := leader.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":2}`)})
	wantCode(t, err, "")
	get := func(at session.Consistency) session.View {
		t.Helper()
		v, err := follower.Get(t.Context(), token, session.Client{}, false, at)
		wantCode(t, err, "")
		return v
	}
	if v := get(session.Consistency{}); string(v.Session.Data) != `{"n":1}` || v.Index.Index != 2 {
		t.Errorf("a local read found %s at %v", v.Session.Data, v.Index)
	}
	if v := get(session.Consistency{AtLeast: written.Index}); string(v.Session.Data) != `{"n":2}` || v.Index != written.Index {
		t.Errorf("a read at %v found %s at %v", written.Index, v.Session.Data, v.Index)
	}
	_, err = leader.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{"n":3}`)})
	wantCode(t, err, "")
	if v := get(session.Consistency{Strong: true}); string(v.Session.Data) != `{"n":3}` {
		t.Errorf("a strong read found %s", v.Session.Data)
	}
}

func TestAnIndexOfAnotherClusterAsksForNothingOnceTheLeaderWasAsked(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	token := m.login("alice", "").Token
	foreign := session.Consistency{AtLeast: session.Index{Cluster: 99, Index: 1 << 40}}
	n := l.barriers
	_, err := m.Get(t.Context(), token, session.Client{}, false, foreign)
	wantCode(t, err, "")
	if l.barriers != n+1 {
		t.Errorf("the leader was asked %d times", l.barriers-n)
	}
	l.leaderless = true
	_, err = m.Get(t.Context(), token, session.Client{}, false, foreign)
	wantCode(t, err, session.CodeNoLeader)
	l.leaderless = false
}

func TestAnIndexNeverGoesBackForAReader(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	m.login("alice", "")
	// Barriers bring no data, and a restart begins behind them.
	if err := m.machine.Flush(40, 2); err != nil {
		t.Fatal(err)
	}
	m.crash()
	s, err := Open(m.cfg, m, m.machine)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l.leaderless = true // what is local must do
	defer func() { l.leaderless = false }()
	page, err := s.List(t.Context(), session.List{UserID: "alice"})
	wantCode(t, err, "")
	if at := s.Index(); at.Index != 40 || page.Index != at || len(page.Sessions) != 1 {
		t.Errorf("the node has applied %v and lists %d sessions as of %v", at, len(page.Sessions), page.Index)
	}
	l.entries = append(l.entries, make([]logEntry, 40-len(l.entries))...) // so that the log goes on behind it
}

// fill commits n sessions of alice, tenant acme, in entries of a thousand, one
// millisecond apart.
func fill(t *testing.T, l *memLog, n int) (ids []session.ID) {
	t.Helper()
	var creates [][]byte
	for i := range n {
		id := session.ID{0, byte(i >> 16), byte(i >> 8), byte(i), 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}
		ids = append(ids, id)
		idle := int64(time.Hour / time.Millisecond)
		if i%3 == 0 {
			idle = 1000
		}
		creates = append(creates, command(t, envelope{Type: cmdCreate, Actor: &wireActor{Service: true}}, createBody{
			ID: id, UserID: "alice", TenantID: "acme", IdleMillis: idle, AbsMillis: 1 << 32,
		}))
		if len(creates) == 1000 || i == n-1 {
			l.entry(creates...)
			creates = nil
		}
	}
	return ids
}

func TestAListGoesFromNewToOldAndSkipsWhatHasExpired(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	m.login("bob", "")
	ids := fill(t, l, 3*listPiece)
	l.advance(time.Second) // every third has expired
	slices.Reverse(ids)
	var want []session.ID
	for i, id := range ids {
		if (len(ids)-1-i)%3 != 0 {
			want = append(want, id)
		}
	}
	for name, ask := range map[string]session.List{
		"a user in pages of 50":   {UserID: "alice"},
		"a user in pages of 1":    {UserID: "alice", Limit: 1},
		"a user in pages of 200":  {UserID: "alice", Limit: 10_000},
		"a tenant in pages of 77": {TenantID: "acme", Limit: 77},
	} {
		t.Run(name, func(t *testing.T) {
			limit := ask.Limit
			if limit == 0 {
				limit = session.DefaultListLimit
			}
			limit = min(limit, session.MaxListLimit)
			var got []session.ID
			for {
				page, err := m.List(t.Context(), ask)
				wantCode(t, err, "")
				if len(page.Sessions) > limit || (page.Next != "" && len(page.Sessions) != limit) {
					t.Fatalf("a page of %d sessions, next %q", len(page.Sessions), page.Next)
				}
				for _, s := range page.Sessions {
					got = append(got, s.ID)
				}
				if ask.Cursor = page.Next; page.Next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d sessions listed, want %d", len(got), len(want))
			}
		})
	}
}

func TestAListThatFindsNothingGoesThroughAllPieces(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	fill(t, l, 2*listPiece+1)
	l.advance(2 * time.Hour)
	page, err := m.List(t.Context(), session.List{UserID: "alice"})
	wantCode(t, err, "")
	if len(page.Sessions) != 0 || page.Next != "" {
		t.Errorf("%d sessions, next %q", len(page.Sessions), page.Next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.List(ctx, session.List{UserID: "alice"})
	wantCode(t, err, session.CodeOverloaded)
}

func TestAListIsAsOfItsFirstPiece(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	ids := fill(t, l, 2*listPiece)
	page := session.Page{Now: midnight}
	before := m.Index()
	err := m.machine.view(func(v view) error {
		_, more, err := v.list(&page, userPrefix("alice"), userPrefix("alice"), 2*listPiece)
		if !more {
			t.Error("one piece was enough")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Revoke(t.Context(), session.Revoke{Actor: service(), Target: ids[len(ids)-1]})
	wantCode(t, err, "")
	// The page shows a session that the next entry has ended: it must not claim
	// that entry's index.
	if page.Index != before || page.Sessions[0].ID != ids[len(ids)-1] {
		t.Errorf("the page claims %v, and was begun at %v", page.Index, before)
	}
}

func TestAListRefusesWhatItCannotAnswer(t *testing.T) {
	m := newTestMember(t)
	for name, ask := range map[string]session.List{
		"nobody":            {},
		"a user and tenant": {UserID: "alice", TenantID: "acme"},
		"a foreign cursor":  {UserID: "alice", Cursor: "page-2"},
		"fewer than none":   {UserID: "alice", Limit: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.List(t.Context(), ask)
			wantCode(t, err, session.CodeInvalidRequest)
		})
	}
}

func TestNamesOfUsersDoNotMeetInTheIndex(t *testing.T) {
	m := newTestMember(t)
	for _, user := range []string{"a", "ab", "a\u00ff", "b"} {
		m.login(user, "")
		page, err := m.List(t.Context(), session.List{UserID: user})
		wantCode(t, err, "")
		if len(page.Sessions) != 1 || page.Sessions[0].UserID != user {
			t.Errorf("%q has %d sessions", user, len(page.Sessions))
		}
	}
}

func TestErrorsOfTheLogBecomeTheDomains(t *testing.T) {
	for _, code := range []session.Code{
		session.CodeNoLeader, session.CodeStaleNode, session.CodeOverloaded, session.CodeOutcomeUnknown,
		session.CodeDraining, session.CodeDiskLow,
	} {
		wantCode(t, AsSession(fmt.Errorf("propose: %w", unavailable(code))), code)
	}
	for _, err := range []error{nil, context.Canceled, unavailable("of its own")} {
		if got := AsSession(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// What costs a barrier is bounded by who asks for it in vain; a good token costs
// nothing, however it is asked for.
func TestABadTokenIsPaidForAndAGoodOneIsNot(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[1]
	good := l.members[0].login("alice", "").Token
	bad := good
	bad.Secret[0] ^= 1
	left, counted := 2, 0
	doubt := session.Doubt(func(confirmed bool) error {
		switch {
		case confirmed:
			left, counted = left-1, counted+1
		case left <= 0:
			return session.ErrRateLimited
		}
		return nil
	})
	get := func(token session.Token, strong bool) session.Code {
		_, err := m.Get(t.Context(), token, session.Client{}, false, session.Consistency{Strong: strong, Doubt: doubt})
		return session.CodeOf(err)
	}
	for _, strong := range []bool{false, true} {
		if code := get(bad, strong); code != session.CodeSessionInvalid {
			t.Errorf("strong %v: %s", strong, code)
		}
	}
	l.set(func() { l.barriers = 0 })
	for _, strong := range []bool{false, true} {
		if code := get(bad, strong); code != session.CodeRateLimited {
			t.Errorf("one too many, strong %v: %s", strong, code)
		}
	}
	if l.barriers != 0 {
		t.Errorf("%d barriers for tokens that were not paid for", l.barriers)
	}
	for _, strong := range []bool{false, true} {
		if code := get(good, strong); code != "" {
			t.Errorf("a good token, strong %v: %s", strong, code)
		}
	}
	if counted != 2 {
		t.Errorf("%d tokens were counted", counted)
	}
	// One that this node does not know yet is not counted, once it is known.
	left, counted = 1, 0
	l.set(func() { m.behind = true })
	fresh := l.members[0].login("alice", "").Token
	if code := get(fresh, false); code != "" || counted != 0 {
		t.Errorf("a fresh token: %q, counted %d", code, counted)
	}
	l.set(func() { m.behind = false })
}
