package fsm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func TestASessionIsReadAsItWasCreated(t *testing.T) {
	m := newTestMember(t)
	created := m.created(session.Create{
		Actor:  session.Actor{Service: true, Client: session.Client{IP: "192.0.2.1", UserAgent: "agent"}},
		UserID: "alice", TenantID: "acme", Data: []byte(`{ "b": 1, "a": 2 }`), IdleTimeout: 10 * time.Minute,
		Auth:  session.Auth{Issuer: "https://issuer", Subject: "sub", SID: "sid", Method: "pwd", Time: midnight - 1000},
		Label: "phone",
	})
	want := session.Session{
		ID: created.Token.ID, UserID: "alice", TenantID: "acme", Data: []byte(`{"a":2,"b":1}`), Version: 1,
		CreatedAt: midnight, UpdatedAt: midnight, LastActiveAt: midnight,
		IdleTimeout: 10 * time.Minute, AbsoluteExpiresAt: midnight.Add(24 * time.Hour),
		Auth:       session.Auth{Issuer: "https://issuer", Subject: "sub", SID: "sid", Method: "pwd", Time: midnight - 1000},
		Device:     session.Device{IP: "192.0.2.1", UserAgent: "agent", FirstIP: "192.0.2.1", FirstUserAgent: "agent", Label: "phone"},
		SecretHash: created.Token.Hash(), SecretSetAt: midnight,
	}
	byID, err := m.ByID(t.Context(), created.Token.ID, session.Consistency{Strong: true})
	wantCode(t, err, "")
	for where, v := range map[string]session.View{"created": created.View, "got": m.mustLive(created.Token), "by id": byID} {
		if got := fmt.Sprintf("%+v", v.Session); got != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\n got %s\nwant %+v", where, got, want)
		}
		if v.Now != midnight || v.Index != (session.Index{Cluster: testCluster, Index: 2}) {
			t.Errorf("%s at %d, index %v", where, v.Now, v.Index)
		}
	}
}

func TestOnlyTheWholeTokenOpensASession(t *testing.T) {
	m := newTestMember(t)
	good := m.login("alice", "").Token
	other := m.login("bob", "").Token
	bit := good
	bit.Secret[31] ^= 1
	for name, token := range map[string]session.Token{
		"another's secret": {ID: good.ID, Secret: other.Secret},
		"one bit changed":  bit,
		"no secret":        {ID: good.ID},
		"an unknown id":    {ID: session.ID{1}, Secret: good.Secret},
		"nothing":          {},
	} {
		t.Run(name, func(t *testing.T) { m.mustDead(token) })
	}
	m.mustLive(good)
}

func TestWhoMayDoWhat(t *testing.T) {
	m := newTestMember(t)
	ctx := t.Context()
	alice, second := m.login("alice", `{"n":1}`).Token, m.login("alice", "").Token
	bob, anonymous := m.login("bob", "").Token, m.login("", "").Token
	stranger := alice
	stranger.Secret[0] ^= 1
	label := "laptop"

	patch := func(a session.Actor, target session.ID, data string) error {
		_, err := m.Patch(ctx, session.Patch{Actor: a, Target: target, Patch: []byte(data)})
		return err
	}
	labelled := func(a session.Actor, target session.ID) error {
		_, err := m.Patch(ctx, session.Patch{Actor: a, Target: target, Label: &label})
		return err
	}
	patchUser := func(a session.Actor, user string) error {
		_, err := m.PatchUser(ctx, session.PatchUser{Actor: a, UserID: user, Patch: []byte(`{"x":1}`)})
		return err
	}
	create := func(a session.Actor, user, data string, carry ...string) error {
		_, err := m.Create(ctx, session.Create{Actor: a, UserID: user, Data: []byte(data), Carry: carry})
		return err
	}
	revoke := func(a session.Actor, target session.ID) error {
		_, err := m.Revoke(ctx, session.Revoke{Actor: a, Target: target})
		return err
	}
	revokeUser := func(a session.Actor, user string) error {
		_, err := m.RevokeUser(ctx, session.RevokeUser{Actor: a, UserID: user, KeepCurrent: true})
		return err
	}
	refresh := func(a session.Actor) error {
		_, err := m.Refresh(ctx, session.Refresh{Actor: a})
		return err
	}
	login := loginOf("alice", midnight)
	none := session.ID{}

	for name, c := range map[string]struct {
		do   func() error
		want session.Code
	}{
		"a session patches itself":                        {func() error { return patch(holder(alice), none, `{"a":1}`) }, ""},
		"a session patches itself by its id":              {func() error { return patch(holder(alice), alice.ID, `{"a":2}`) }, ""},
		"a session does not patch its sister's data":      {func() error { return patch(holder(alice), second.ID, `{"a":1}`) }, session.CodeForbidden},
		"a session labels its sister":                     {func() error { return labelled(holder(alice), second.ID) }, ""},
		"a session does not find another user's":          {func() error { return labelled(holder(alice), bob.ID) }, session.CodeNotFound},
		"a session does not find an anonymous one":        {func() error { return labelled(holder(alice), anonymous.ID) }, session.CodeNotFound},
		"an anonymous session finds itself":               {func() error { return labelled(holder(anonymous), anonymous.ID) }, ""},
		"an anonymous session does not find a user's":     {func() error { return labelled(holder(anonymous), bob.ID) }, session.CodeNotFound},
		"a wrong secret patches nothing":                  {func() error { return patch(holder(stranger), none, `{"a":1}`) }, session.CodeSessionInvalid},
		"a service patches by id":                         {func() error { return patch(service(), bob.ID, `{"a":1}`) }, ""},
		"a service alone has no session of its own":       {func() error { return patch(service(), none, `{"a":1}`) }, session.CodeSessionInvalid},
		"a service with a token is confined to that user": {func() error { return patch(backendOf(alice), bob.ID, `{"a":1}`) }, session.CodeNotFound},
		"a service with a wrong token is refused":         {func() error { return patch(backendOf(stranger), bob.ID, `{"a":1}`) }, session.CodeSessionInvalid},
		"a login alone patches nothing":                   {func() error { return patch(login, alice.ID, `{"a":1}`) }, session.CodeForbidden},
		"a login alone labels nothing":                    {func() error { return labelled(login, alice.ID) }, session.CodeForbidden},
		"a login and another user's session do not agree": {func() error {
			return patch(session.Actor{Session: holder(bob).Session, Login: login.Login}, none, `{}`)
		}, session.CodeForbidden},
		"nobody patches nothing":                   {func() error { return patch(session.Actor{}, alice.ID, `{}`) }, session.CodeSessionInvalid},
		"a protected key needs a service":          {func() error { return patch(holder(alice), none, `{"plan":"pro"}`) }, session.CodeProtectedKey},
		"removing a protected key needs a service": {func() error { return patch(holder(alice), none, `{"plan":null}`) }, session.CodeProtectedKey},
		"a service sets a protected key":           {func() error { return patch(backendOf(alice), none, `{"plan":"pro"}`) }, ""},
		"a patch that is no object is refused":     {func() error { return patch(holder(alice), none, `[1]`) }, session.CodeInvalidRequest},
		"data does not outgrow its bound": {func() error {
			return patch(holder(alice), none, `{"big":"`+strings.Repeat("x", session.MaxDataBytes)+`"}`)
		}, session.CodePayloadTooLarge},
		"a session does not patch a user":                    {func() error { return patchUser(holder(alice), "alice") }, session.CodeForbidden},
		"a login does not patch a user":                      {func() error { return patchUser(login, "alice") }, session.CodeForbidden},
		"a service patches a user":                           {func() error { return patchUser(service(), "alice") }, ""},
		"a service with a token patches that user":           {func() error { return patchUser(backendOf(alice), "alice") }, ""},
		"a service with a token does not patch another":      {func() error { return patchUser(backendOf(alice), "bob") }, session.CodeForbidden},
		"nobody's sessions are not patched together":         {func() error { return patchUser(service(), "") }, session.CodeForbidden},
		"a login creates for its user":                       {func() error { return create(login, "alice", "") }, ""},
		"a login does not create for another":                {func() error { return create(login, "bob", "") }, session.CodeForbidden},
		"a login sets no protected key":                      {func() error { return create(login, "alice", `{"plan":"pro"}`) }, session.CodeProtectedKey},
		"a session alone creates nothing":                    {func() error { return create(holder(alice), "alice", "") }, session.CodeForbidden},
		"a service with a token creates for no other user":   {func() error { return create(backendOf(second), "bob", "") }, session.CodeForbidden},
		"a service creates with a protected key":             {func() error { return create(service(), "carol", `{"plan":"pro"}`) }, ""},
		"a protected key is never carried":                   {func() error { return create(service(), "carol", "", "plan") }, session.CodeProtectedKey},
		"a session does not end another user's":              {func() error { return revoke(holder(alice), bob.ID) }, session.CodeNotFound},
		"a login does not end another user's":                {func() error { return revoke(login, bob.ID) }, session.CodeNotFound},
		"what is not there cannot be ended":                  {func() error { return revoke(service(), session.ID{1}) }, session.CodeNotFound},
		"a session does not log another user out everywhere": {func() error { return revokeUser(holder(alice), "bob") }, session.CodeForbidden},
		"a login does not log another user out everywhere":   {func() error { return revokeUser(login, "bob") }, session.CodeForbidden},
		"a service names whom it logs out everywhere":        {func() error { return revokeUser(service(), "") }, session.CodeInvalidRequest},
		"a service refreshes no session without its token":   {func() error { return refresh(service()) }, session.CodeSessionInvalid},
		"a login refreshes nothing":                          {func() error { return refresh(login) }, session.CodeSessionInvalid},
		"a service refreshes the session whose token it has": {func() error { return refresh(backendOf(bob)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := m.mustLive(alice)
			err := c.do()
			wantCode(t, err, c.want)
			if err != nil && string(m.mustLive(alice).Session.Data) != string(before.Session.Data) {
				t.Error("a refused command has changed data")
			}
		})
	}
}

func TestAPatchMergesAndCountsVersions(t *testing.T) {
	m := newTestMember(t)
	token := m.login("alice", `{"a":1}`).Token
	n := len(m.events())
	label := "phone"
	for _, step := range []struct {
		patch     string
		ifVersion uint64
		label     *string
		want      session.Code
		data      string
		version   uint64
	}{
		{patch: `{"b":2}`, data: `{"a":1,"b":2}`, version: 2},
		{patch: `{"b":2}`, data: `{"a":1,"b":2}`, version: 2},
		{patch: `{"b":null}`, ifVersion: 1, want: session.CodeVersionConflict, data: `{"a":1,"b":2}`, version: 2},
		{patch: `{"b":null}`, ifVersion: 2, data: `{"a":1}`, version: 3},
		{label: &label, data: `{"a":1}`, version: 3},
		{label: &label, data: `{"a":1}`, version: 3},
	} {
		v, err := m.Patch(t.Context(), session.Patch{
			Actor: holder(token), Patch: []byte(step.patch), IfVersion: step.ifVersion, Label: step.label,
		})
		wantCode(t, err, step.want)
		now := m.mustLive(token).Session
		if string(now.Data) != step.data || now.Version != step.version {
			t.Errorf("after %+v: %s of version %d", step, now.Data, now.Version)
		}
		if err == nil && (v.Session.Version != step.version || string(v.Session.Data) != step.data) {
			t.Errorf("%+v was answered with %s of version %d", step, v.Session.Data, v.Session.Version)
		}
	}
	if got, want := m.happened(n), []string{"updated", "updated", "updated"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v: what changes nothing tells nothing", got, want)
	}
}

func TestAPatchOfAUserIsForAllOrNone(t *testing.T) {
	m := newTestMember(t)
	full := `{"big":"` + strings.Repeat("x", session.MaxDataBytes-30) + `"}`
	small, big := m.login("alice", `{}`).Token, m.login("alice", full).Token
	other := m.login("bob", `{}`).Token
	patch := func(data string) (session.Outcome, error) {
		return m.PatchUser(t.Context(), session.PatchUser{Actor: service(), UserID: "alice", Patch: []byte(data)})
	}
	_, err := patch(`{"subscription":"professional, for ever"}`)
	wantCode(t, err, session.CodePayloadTooLarge)
	if v := m.mustLive(small); v.Session.Version != 1 {
		t.Error("one of the sessions was changed though another could not be")
	}
	n := len(m.events())
	out, err := patch(`{"x":1}`)
	wantCode(t, err, "")
	if out.Count != 2 || m.mustLive(small).Session.Version != 2 || m.mustLive(big).Session.Version != 2 || m.mustLive(other).Session.Version != 1 {
		t.Errorf("%d were patched", out.Count)
	}
	out, err = patch(`{"x":1}`)
	wantCode(t, err, "")
	if got := m.happened(n); out.Count != 2 || !slices.Equal(got, []string{"updated", "updated"}) {
		t.Errorf("the same patch again: count %d, events %v", out.Count, got)
	}
}

func TestALoginEndsTheSessionThatWasThereAndAdoptsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		user, data, carry, brings string // of the session that is shown; what the login names and brings
		want                      string
	}{
		"an anonymous cart is carried":           {"", `{"cart":[1],"x":2}`, "cart", ``, `{"cart":[1]}`},
		"what the login brings counts":           {"", `{"cart":[1],"x":2}`, "cart", `{"cart":[2]}`, `{"cart":[2]}`},
		"both are joined":                        {"", `{"cart":[1],"x":2}`, "cart", `{"a":1}`, `{"a":1,"cart":[1]}`},
		"both are joined, beside an empty login": {"", `{"cart":[1],"x":2}`, "cart", `{}`, `{"cart":[1]}`},
		"a key that is not there is passed over": {"", `{"x":2}`, "cart", `{"a":1}`, `{"a":1}`},
		"nothing is carried unless it is named":  {"", `{"cart":[1]}`, "", ``, `{}`},
		"nothing is carried from a user's":       {"alice", `{"cart":[1]}`, "cart", ``, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestMember(t)
			shown := m.login(c.user, c.data).Token
			n := len(m.events())
			a := loginOf("alice", midnight)
			a.Session = holder(shown).Session
			create := session.Create{Actor: a, UserID: "alice", Data: []byte(c.brings)}
			if c.carry != "" {
				create.Carry = []string{c.carry}
			}
			created := m.created(create)
			if created.Token.ID == shown.ID || created.Token.Secret == shown.Secret || string(created.Session.Data) != c.want {
				t.Errorf("the new session %v holds %s, want %s", created.Token, created.Session.Data, c.want)
			}
			m.mustDead(shown)
			m.mustLive(created.Token)
			if got := m.happened(n); !slices.Equal(got, []string{"revoked replaced", "created"}) {
				t.Errorf("events %v", got)
			}
		})
	}
}

func TestATokenThatIsShownAtLoginAndDoesNotFitIsIgnored(t *testing.T) {
	m := newTestMember(t)
	victim := m.login("", `{"cart":[1]}`).Token
	wrong := victim
	wrong.Secret[0] ^= 1
	a := loginOf("alice", midnight)
	a.Session = holder(wrong).Session
	created := m.created(session.Create{Actor: a, UserID: "alice", Carry: []string{"cart"}})
	if string(created.Session.Data) != "{}" {
		t.Errorf("a wrong secret carried %s", created.Session.Data)
	}
	m.mustLive(victim)
}

func TestARevokedActorDoesNothingEvenThroughAStaleNode(t *testing.T) {
	for name, do := range map[string]func(m *member, a session.Actor, id session.ID) error{
		"patch": func(m *member, a session.Actor, _ session.ID) error {
			_, err := m.Patch(context.Background(), session.Patch{Actor: a, Patch: []byte(`{"x":1}`)})
			return err
		},
		"label another": func(m *member, a session.Actor, id session.ID) error {
			label := "mine"
			_, err := m.Patch(context.Background(), session.Patch{Actor: a, Target: id, Label: &label})
			return err
		},
		"patch a user": func(m *member, a session.Actor, _ session.ID) error {
			a.Service = true
			_, err := m.PatchUser(context.Background(), session.PatchUser{Actor: a, UserID: "alice", Patch: []byte(`{"x":1}`)})
			return err
		},
		"refresh": func(m *member, a session.Actor, _ session.ID) error {
			_, err := m.Refresh(context.Background(), session.Refresh{Actor: a})
			return err
		},
		"revoke another": func(m *member, a session.Actor, id session.ID) error {
			_, err := m.Revoke(context.Background(), session.Revoke{Actor: a, Target: id})
			return err
		},
		"log out everywhere": func(m *member, a session.Actor, _ session.ID) error {
			_, err := m.RevokeUser(context.Background(), session.RevokeUser{Actor: a})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 2)
			leader, stale := l.members[0], l.members[1]
			thief, other := leader.login("alice", "").Token, leader.login("alice", "").Token
			stale.behind = true
			_, err := leader.Revoke(t.Context(), session.Revoke{Actor: holder(thief)})
			wantCode(t, err, "")
			stale.mustLive(thief) // it has not heard of it
			n, proposals := len(leader.events()), l.counted()

			wantCode(t, do(stale, holder(thief), other.ID), session.CodeSessionInvalid)
			if l.counted() != proposals+1 {
				t.Error("the stale node refused by itself: this test has shown nothing")
			}
			if got := leader.happened(n); len(got) != 0 {
				t.Errorf("a revoked session has done %v", got)
			}
			leader.mustLive(other)
		})
	}
}

func TestWhatIsDeadWritesNothing(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	dead := m.login("alice", "").Token
	_, err := m.Revoke(t.Context(), session.Revoke{Actor: holder(dead)})
	wantCode(t, err, "")
	junk := session.Token{ID: session.ID{1, 2, 3}}
	before, barriers := l.counted(), l.barriers
	for _, token := range []session.Token{dead, junk} {
		m.mustDead(token)
		_, err = m.Patch(t.Context(), session.Patch{Actor: holder(token), Patch: []byte(`{}`)})
		wantCode(t, err, session.CodeSessionInvalid)
		_, err = m.Refresh(t.Context(), session.Refresh{Actor: holder(token)})
		wantCode(t, err, session.CodeSessionInvalid)
		_, err = m.Revoke(t.Context(), session.Revoke{Actor: holder(token)})
		wantCode(t, err, session.CodeSessionInvalid)
		_, err = m.RevokeUser(t.Context(), session.RevokeUser{Actor: holder(token)})
		wantCode(t, err, session.CodeSessionInvalid)
		_, err = m.Revoke(t.Context(), session.Revoke{Actor: holder(token), Idempotency: idem(1, 1)})
		wantCode(t, err, session.CodeSessionInvalid)
	}
	if n := l.counted() - before; n != 0 {
		t.Errorf("dead tokens have put %d commands into the log", n)
	}
	if n := l.barriers - barriers; n != 12 {
		t.Errorf("12 answers of no were confirmed by %d barriers", n)
	}
}

func TestLogOutEverywhereKeepsWhatItIsToldTo(t *testing.T) {
	for name, c := range map[string]struct {
		as          string
		keep        bool
		firstLives  bool
		secondLives bool
		count       int
	}{
		"a session, all":                  {as: "session", count: 2},
		"a session, all but itself":       {as: "session", keep: true, firstLives: true, count: 1},
		"a service":                       {as: "service", keep: true, count: 2},
		"a service for a session":         {as: "backend", keep: true, firstLives: true, count: 1},
		"a login":                         {as: "login", count: 2},
		"an anonymous session, all":       {as: "anonymous", firstLives: true, secondLives: true, count: 1},
		"an anonymous session but itself": {as: "anonymous", keep: true, firstLives: true, secondLives: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestMember(t)
			first, second := m.login("alice", "").Token, m.login("alice", "").Token
			anonymous, other := m.login("", "").Token, m.login("bob", "").Token
			request := session.RevokeUser{KeepCurrent: c.keep}
			switch c.as {
			case "session":
				request.Actor = holder(first)
			case "service":
				request.Actor, request.UserID = service(), "alice"
			case "backend":
				request.Actor, request.UserID = backendOf(first), "alice"
			case "login":
				request.Actor = loginOf("alice", midnight)
			case "anonymous":
				request.Actor = holder(anonymous)
			}
			n := len(m.events())
			out, err := m.RevokeUser(t.Context(), request)
			wantCode(t, err, "")
			happened := m.happened(n)
			if out.Count != c.count || len(happened) != c.count {
				t.Errorf("%d ended with the events %v, want %d", out.Count, happened, c.count)
			}
			for token, lives := range map[session.Token]bool{
				first: c.firstLives, second: c.secondLives, other: true, anonymous: c.as != "anonymous" || c.keep,
			} {
				if lives {
					m.mustLive(token)
				} else {
					m.mustDead(token)
				}
			}
		})
	}
}

func TestALoginFromBeforeLogOutEverywhereIsRefused(t *testing.T) {
	// The log out happens half a second into second 100.
	out := midnight.Add(100*time.Second + 500*time.Millisecond)
	for name, c := range map[string]struct {
		issued, now session.Time
		want        session.Code
	}{
		"long before":                        {midnight, out, session.CodeLoginInvalid},
		"in the second before":               {out.Add(-time.Second), out, session.CodeLoginInvalid},
		"in the same second":                 {out, out, session.CodeLoginInvalid},
		"in the second after":                {out.Add(time.Second), out.Add(time.Second), ""},
		"without a time":                     {0, out, session.CodeLoginInvalid},
		"just before the login's whole life": {midnight, out.Add(time.Hour - time.Millisecond), session.CodeLoginInvalid},
		"after the login's whole life":       {midnight, out.Add(time.Hour), ""}, // the JWT itself has expired: api knows
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 1)
			m := l.members[0]
			l.advance(out.Sub(midnight))
			_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "alice"})
			wantCode(t, err, "")
			l.advance(c.now.Sub(out))
			_, err = m.Sweep(t.Context())
			wantCode(t, err, "")
			a := loginOf("alice", c.issued)
			wantCode(t, m.CheckLogin(t.Context(), *a.Login, session.Consistency{}), c.want)
			_, err = m.Create(t.Context(), session.Create{Actor: a, UserID: "alice"})
			wantCode(t, err, c.want)
			_, err = m.RevokeUser(t.Context(), session.RevokeUser{Actor: a})
			wantCode(t, err, c.want)
			wantCode(t, m.CheckLogin(t.Context(), session.Login{UserID: "bob"}, session.Consistency{}), "")
		})
	}
}

func TestASecondLogOutEverywhereMovesTheNotBefore(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	revoke := func() {
		t.Helper()
		_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "alice"})
		wantCode(t, err, "")
	}
	revoke()
	l.advance(50 * time.Minute)
	between := loginOf("alice", l.now)
	l.advance(5 * time.Minute)
	revoke()
	l.advance(30 * time.Minute) // the first one's time is over, the second one's is not
	_, err := m.Sweep(t.Context())
	wantCode(t, err, "")
	wantCode(t, m.CheckLogin(t.Context(), *between.Login, session.Consistency{}), session.CodeLoginInvalid)
	l.advance(30 * time.Minute)
	_, err = m.Sweep(t.Context())
	wantCode(t, err, "")
	if _, ok, _, _ := m.machine.look(accountKey("alice")); ok {
		t.Error("a not-before that no login can need is kept")
	}
}

func TestTheLimitOfAUserIsKeptInTheSameCommand(t *testing.T) {
	t.Run("the least recently active is evicted", func(t *testing.T) {
		l := newTestLog(t, 1, func(c *Config) { c.Policy.MaxPerUser = 2 })
		m := l.members[0]
		first := m.login("alice", "").Token
		l.advance(time.Second)
		second := m.login("alice", "").Token
		l.advance(time.Second)
		_, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(first)})
		wantCode(t, err, "")
		n := len(m.events())
		third := m.login("alice", "").Token
		m.mustLive(first)
		m.mustDead(second)
		m.mustLive(third)
		if got := m.happened(n); !slices.Equal(got, []string{"evicted session_limit", "created"}) {
			t.Errorf("events %v", got)
		}
	})
	t.Run("a login is refused", func(t *testing.T) {
		l := newTestLog(t, 1, func(c *Config) { c.Policy.MaxPerUser, c.Policy.RejectOverLimit = 1, true })
		m := l.members[0]
		first := m.login("alice", "").Token
		a := service()
		_, err := m.Create(t.Context(), session.Create{Actor: a, UserID: "alice"})
		wantCode(t, err, session.CodeSessionLimit)
		m.mustLive(first)
		// The session that is shown makes room for the one that replaces it.
		a.Session = holder(first).Session
		m.created(session.Create{Actor: a, UserID: "alice"})
		m.mustDead(first)
		// What has expired and was not swept takes no room.
		l.advance(2 * time.Hour)
		m.login("alice", "")
	})
	t.Run("a lower limit evicts several at once", func(t *testing.T) {
		m := newTestMember(t)
		for range 5 {
			m.login("alice", "")
		}
		m.cfg.Policy.MaxPerUser = 2
		n := len(m.events())
		m.login("alice", "")
		if got := m.happened(n); len(got) != 5 {
			t.Errorf("events %v", got)
		}
		m.login("", "") // nobody's are not counted
		m.login("", "")
		m.login("", "")
	})
}

func TestEventsTellWhatHappenedInOrder(t *testing.T) {
	m := newTestMember(t, func(c *Config) { c.Policy.MaxPerUser = 2 })
	ctx := t.Context()
	first := m.login("alice", "").Token
	second := m.created(session.Create{Actor: service(), UserID: "alice", TenantID: "acme"}).Token
	_, err := m.Patch(ctx, session.Patch{Actor: holder(second), Patch: []byte(`{"a":1}`)})
	wantCode(t, err, "")
	_, err = m.Refresh(ctx, session.Refresh{Actor: holder(second)})
	wantCode(t, err, "")
	third := m.login("alice", "").Token
	_, err = m.Revoke(ctx, session.Revoke{Actor: holder(third), Target: second.ID})
	wantCode(t, err, "")
	_, err = m.RevokeUser(ctx, session.RevokeUser{Actor: holder(third)})
	wantCode(t, err, "")

	var got []string
	for _, e := range m.events() {
		got = append(got, fmt.Sprintf("%s %s %s %q v%d", e.ID, e.Type, e.Reason, e.TenantID, e.Version))
		if e.UserID != "alice" || e.Time != midnight {
			t.Errorf("event %+v", e)
		}
	}
	want := []string{
		`2-0 created  "" v1`,
		`3-0 created  "acme" v1`,
		`4-0 updated  "acme" v2`,
		`5-0 refreshed  "acme" v2`,
		`6-0 evicted session_limit "" v1`,
		`6-1 created  "" v1`,
		`7-0 revoked revoked "acme" v2`,
		`8-0 revoked everywhere "" v1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	m.mustDead(first)
}

func TestStatsCount(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	for _, user := range []string{"alice", "alice", "bob", ""} {
		m.login(user, "")
	}
	_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "alice"})
	wantCode(t, err, "")
	l.advance(time.Hour)
	out, err := m.Sweep(t.Context())
	wantCode(t, err, "")
	if out.Count != 2 {
		t.Errorf("%d swept", out.Count)
	}
	m.login("carol", "")
	got, err := m.Stats(t.Context(), session.Consistency{})
	wantCode(t, err, "")
	want := session.Stats{
		Sessions: 1, Users: 1, Created: 5, Revoked: 2, Expired: 2, Events: 9,
		DatabaseBytes: got.DatabaseBytes, Index: m.Index(),
	}
	if got != want || got.DatabaseBytes == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAConfigurationNamesAllItsFaults(t *testing.T) {
	_, err := Open(Config{SweepInterval: -1}, nil, nil)
	for _, part := range []string{"randomness", "negative", "touch-interval", "idle-timeout"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

func TestALowDiskRefusesWhatGrowsAndLetsTheRestPass(t *testing.T) {
	low := false
	m := newTestMember(t, func(c *Config) { c.DiskLow = func() bool { return low } })
	mine, other := m.login("alice", ""), m.login("alice", "")
	proof := mine.Token.Proof()
	own := session.Actor{Session: &proof}
	low = true
	for what, do := range map[string]func() error{
		"create": func() error {
			_, err := m.Create(t.Context(), session.Create{Actor: session.Actor{Service: true}, UserID: "bob"})
			return err
		},
		"patch": func() error {
			_, err := m.Patch(t.Context(), session.Patch{Actor: own, Patch: []byte(`{"a":1}`)})
			return err
		},
		"patch of a user": func() error {
			_, err := m.PatchUser(t.Context(), session.PatchUser{Actor: session.Actor{Service: true}, UserID: "alice", Patch: []byte(`{"a":1}`)})
			return err
		},
	} {
		if err := do(); session.CodeOf(err) != session.CodeDiskLow {
			t.Errorf("%s: %v", what, err)
		}
	}
	m.mustLive(mine.Token)
	if _, err := m.Refresh(t.Context(), session.Refresh{Actor: own}); err != nil {
		t.Errorf("refresh: %v", err)
	}
	if _, err := m.Revoke(t.Context(), session.Revoke{Actor: own, Target: other.Token.ID}); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if out, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: own}); err != nil || out.Count != 1 {
		t.Errorf("log out everywhere: %+v, %v", out, err)
	}
	m.mustDead(mine.Token)
}
