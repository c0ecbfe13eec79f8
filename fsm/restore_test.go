package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
)

// operated raises the log's feature level to the one that knows restores.
func (l *memLog) operated() *memLog {
	l.t.Helper()
	l.memberLevel = levelOperated
	if err := l.members[0].raiseLevel(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	return l
}

func (m *member) restore(archive []byte, keep string) (Restored, error) {
	return m.Restore(context.Background(), bytes.NewReader(archive), keep)
}

func (m *member) mustRestore(archive []byte, keep string) Restored {
	m.log.t.Helper()
	done, err := m.restore(archive, keep)
	if err != nil {
		m.log.t.Fatal(err)
	}
	return done
}

func TestARestoreIntoARunningClusterChangesDataAndNothingElse(t *testing.T) {
	l := newTestLog(t, 2).operated()
	m := l.members[0]
	alice, bob, carol := m.login("alice", `{"n":1}`).Token, m.login("bob", `{"n":1}`).Token, m.login("carol", `{"n":1}`).Token
	label := "phone"
	_, err := m.Patch(t.Context(), session.Patch{Actor: holder(alice), Label: &label})
	wantCode(t, err, "")
	archive := m.saved()

	l.advance(time.Minute)
	other := "stolen"
	_, err = m.Patch(t.Context(), session.Patch{Actor: holder(alice), Patch: []byte(`{"n":2,"x":true}`), Label: &other})
	wantCode(t, err, "")
	rotated, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(alice), Token: alice, Rotate: true})
	wantCode(t, err, "")
	_, err = m.Revoke(t.Context(), session.Revoke{Actor: holder(bob)})
	wantCode(t, err, "")
	dave := m.login("dave", `{"n":9}`).Token
	before := m.Index()
	seen := len(m.events())

	done := m.mustRestore(archive, "")
	if done.Restored != 1 || done.Dead != 1 || done.Unchanged != 1 || done.Index.Cluster == testCluster || done.Index.Index <= before.Index {
		t.Errorf("%+v", done)
	}
	for _, on := range l.members {
		v := on.mustLive(*rotated.Token)
		if s := v.Session; string(s.Data) != `{"n":1}` || s.Version != 3 || s.Device.Label != "phone" || s.ExpiresAt() != rotated.View.Session.ExpiresAt() {
			t.Errorf("alice: %s, version %d, %+v", s.Data, s.Version, s.Device)
		}
		on.mustDead(bob)
		if v := on.mustLive(carol); v.Session.Version != 1 {
			t.Errorf("carol has version %d", v.Session.Version)
		}
		if v := on.mustLive(dave); string(v.Session.Data) != `{"n":9}` {
			t.Errorf("dave has %s", v.Session.Data)
		}
		if on.machine.Cluster() != testCluster || on.Index().Cluster != done.Index.Cluster {
			t.Errorf("the log is named %x, indexes %s", on.machine.Cluster(), on.Index())
		}
	}
	news := m.events()[seen:]
	if len(news) != 1 || news[0].Type != session.EventUpdated || news[0].Reason != reasonRestored || news[0].SessionID != alice.ID || news[0].Version != 3 {
		t.Errorf("%+v", news)
	}

	// Old indexes are of another cluster, and ask for nothing; new ones count.
	far := before
	far.Index += 1_000_000
	for _, at := range []session.Index{before, far} {
		if _, err := m.Stats(t.Context(), session.Consistency{AtLeast: at}); err != nil {
			t.Errorf("an index of before, %s: %v", at, err)
		}
	}
	if _, err := m.Stats(t.Context(), session.Consistency{AtLeast: done.Index}); err != nil {
		t.Error(err)
	}
	// The same archive again is another restore, and finds nothing to do.
	if again := m.mustRestore(archive, ""); again.Restored != 0 || again.Unchanged != 2 || again.Index.Cluster == done.Index.Cluster {
		t.Errorf("again: %+v", again)
	}
}

func TestARestoreKeepsTheLaterNotBefore(t *testing.T) {
	l := newTestLog(t, 1).operated()
	m := l.members[0]
	everywhere := func(user string) {
		_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: user})
		wantCode(t, err, "")
	}
	m.login("eve", `{}`)
	everywhere("early") // and again after the archive
	everywhere("alice")
	archive := m.saved()
	l.advance(30 * time.Minute)
	everywhere("early")
	l.advance(20 * time.Minute)
	at := midnight.Add(30 * time.Minute)
	m.mustRestore(archive, "")
	for _, c := range []struct {
		user   string
		issued session.Time
		ok     bool
	}{{"early", at, false}, {"early", at.Add(time.Second), true}, {"alice", midnight, false}, {"alice", midnight.Add(time.Second), true}} {
		want := session.CodeLoginInvalid
		if c.ok {
			want = ""
		}
		wantCode(t, m.CheckLogin(t.Context(), session.Login{UserID: c.user, IssuedAt: c.issued}, session.Consistency{}), want)
	}
}

func TestAnEmptyClusterTakesAnArchiveOnlyAsItsOperatorSays(t *testing.T) {
	source := newTestLog(t, 1)
	m := source.members[0]
	alice, old := m.login("alice", `{"n":1}`).Token, m.login("old", `{}`).Token
	m.login("mallory", `{}`)
	_, err := m.Create(t.Context(), session.Create{Actor: service(), UserID: "pro", Auth: session.Auth{Issuer: "iss", Subject: "sub", SID: "sid"}, TenantID: "acme"})
	wantCode(t, err, "")
	source.advance(50 * time.Minute)
	rotated, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(alice), Token: alice, Rotate: true})
	wantCode(t, err, "")
	_, err = m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "carol"})
	wantCode(t, err, "")
	_, err = m.RevokeLogin(t.Context(), session.RevokeLogin{Issuer: "iss", SID: "gone", TokenID: fixed[[32]byte](1)})
	wantCode(t, err, "")
	archive := m.saved()

	empty := func() *memLog {
		l := newTestLog(t, 2).operated()
		l.advance(70 * time.Minute) // by now all but alice's have expired
		l.tick()
		return l
	}
	t.Run("refused without a word", func(t *testing.T) {
		l := empty()
		_, err := l.members[0].restore(archive, "")
		if wantCode(t, err, session.CodeInvalidRequest); !strings.Contains(err.Error(), "sessions=all") {
			t.Error(err)
		}
		if s, _ := l.members[0].machine.Stats(); s.Created != 0 || l.members[0].Index().Cluster != testCluster {
			t.Error("it has changed something")
		}
	})
	t.Run("none", func(t *testing.T) {
		m := empty().members[0]
		done := m.mustRestore(archive, "none")
		if done.Restored != 0 || done.Dead != 4 {
			t.Errorf("%+v", done)
		}
		m.mustDead(*rotated.Token)
		wantCode(t, m.CheckLogin(t.Context(), session.Login{UserID: "carol", IssuedAt: midnight}, session.Consistency{}), session.CodeLoginInvalid)
		_, err := m.RevokeLogin(t.Context(), session.RevokeLogin{Issuer: "iss", SID: "gone", TokenID: fixed[[32]byte](1)})
		wantCode(t, err, session.CodeIdempotencyConflict)
	})
	t.Run("all", func(t *testing.T) {
		l := empty()
		m := l.members[1]
		_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "nobody"})
		wantCode(t, err, "")
		done := m.mustRestore(archive, "all")
		if done.Restored != 1 || done.Dead != 3 || done.Unchanged != 0 {
			t.Errorf("%+v", done)
		}
		if v := m.mustLive(*rotated.Token); string(v.Session.Data) != `{"n":1}` || v.Session.Version != 1 || v.Session.ExpiresAt() != rotated.View.Session.ExpiresAt() {
			t.Errorf("%+v", v.Session)
		}
		m.mustDead(old)
		m.mustDead(alice) // its grace was over long ago
		// Its answer was lost: the same call again says the same. Any other finds a cluster that has had sessions.
		if again := m.mustRestore(archive, "all"); again != done {
			t.Errorf("again: %+v, and it was %+v", again, done)
		}
		_, err = m.restore(archive, "none")
		wantCode(t, err, session.CodeInvalidRequest)
	})
	t.Run("all, but for whom this cluster has logged out", func(t *testing.T) {
		m := empty().members[0]
		_, err := m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "alice"})
		wantCode(t, err, "")
		if done := m.mustRestore(archive, "all"); done.Restored != 0 || done.Dead != 4 {
			t.Errorf("%+v", done)
		}
	})
	t.Run("all, but for what a provider has ended here", func(t *testing.T) {
		m := newTestLog(t, 1).operated().members[0]
		_, err := m.RevokeLogin(t.Context(), session.RevokeLogin{Issuer: "iss", SID: "sid", TokenID: fixed[[32]byte](9)})
		wantCode(t, err, "")
		if done := m.mustRestore(archive, "all"); done.Restored != 3 || done.Dead != 1 {
			t.Errorf("%+v", done)
		}
	})
	t.Run("all, of a clock that was ahead", func(t *testing.T) {
		l := newTestLog(t, 1).operated()
		m := l.members[0]
		m.mustRestore(archive, "all")
		if v := m.mustLive(*rotated.Token); v.Session.LastActiveAt != midnight || v.Session.ExpiresAt() != midnight.Add(time.Hour) {
			t.Errorf("%+v", v.Session)
		}
		l.advance(time.Hour)
		l.tick()
		m.mustDead(*rotated.Token)
	})
}

func TestACutAlteredOrForeignArchiveChangesNothing(t *testing.T) {
	l := newTestLog(t, 1).operated()
	m := l.members[0]
	m.login("alice", `{"n":1}`)
	whole := m.saved()
	flipped, newer := bytes.Clone(whole), bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	newer[9]++
	_, hash := m.machine.Hash()
	for name, archive := range map[string][]byte{
		"nothing": nil, "cut": whole[:len(whole)-1], "flipped": flipped, "newer": newer, "foreign": []byte("something else, and long enough to be one"),
		"a member's": m.exported(), "twice": append(bytes.Clone(whole), whole...),
		"of a later level": forge(t, snapshot.Header{Kind: snapshot.Saved, Index: 9, Stamp: int64(midnight), Cluster: 2},
			pair{metaStateKey, encodeMeta(&meta{cluster: 2, stamp: midnight, raised: levelUnknown})}),
	} {
		_, err := m.restore(archive, "")
		if wantCode(t, err, session.CodeInvalidRequest); !strings.Contains(fmt.Sprint(err), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, now := m.machine.Hash(); now != hash {
		t.Error("the state has changed")
	}
	_, err := m.restore(whole, "some")
	wantCode(t, err, session.CodeInvalidRequest)
}

func TestARestoreNeedsTheFeatureLevel(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	m.login("alice", `{}`)
	archive, before := m.saved(), l.counted()
	_, err := m.restore(archive, "")
	if wantCode(t, err, session.CodeInvalidRequest); !strings.Contains(err.Error(), "feature level 1") || l.counted() != before {
		t.Error(err)
	}
}

func TestARestoreNeedsRoomOnTheDisk(t *testing.T) {
	low := false
	l := newTestLog(t, 1, func(c *Config) { c.DiskLow = func() bool { return low } }).operated()
	m := l.members[0]
	m.login("alice", `{}`)
	archive := m.saved()
	low = true
	_, err := m.restore(archive, "")
	wantCode(t, err, session.CodeDiskLow)
}

// crowd makes a log with so many sessions that an archive has several chunks.
func crowd(t tester, l *memLog, n int) (tokens []session.Token) {
	t.Helper()
	big := strings.Repeat("x", 4<<10)
	for i := range n {
		tokens = append(tokens, l.members[0].login(fmt.Sprintf("user %d", i%7), fmt.Sprintf(`{"n":%d,"x":%q}`, i, big)).Token)
	}
	return tokens
}

// interrupted is a log that ends the context of a restore after so many commands.
type interrupted struct {
	*member
	mu     sync.Mutex
	left   int
	cancel context.CancelFunc
}

func (i *interrupted) Propose(ctx context.Context, command []byte) ([]byte, uint64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.left == 0 {
		i.cancel()
		return nil, 0, ctx.Err()
	}
	i.left--
	return i.member.Propose(ctx, command)
}

// A restore that was broken off, wherever, goes on by the same call: on a node that has restarted, and on another.
func TestARestoreThatWasBrokenOffGoesOn(t *testing.T) {
	source := newTestLog(t, 1)
	crowd(t, source, 120)
	_, err := source.members[0].RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "gone"})
	wantCode(t, err, "")
	archive := source.members[0].saved()
	whole := newTestLog(t, 1).operated().members[0].mustRestore(archive, "all")
	if whole.Restored != 120 {
		t.Fatalf("%+v", whole)
	}
	for after := range 9 { // begin, six chunks, end
		l := newTestLog(t, 2).operated()
		m := l.members[0]
		ctx, cancel := context.WithCancel(t.Context())
		m.Sessions.log = &interrupted{member: m, left: after, cancel: cancel}
		done, err := m.Restore(ctx, bytes.NewReader(archive), "all")
		if cancel(); err == nil != (after == 8) {
			t.Fatalf("broken off after %d commands: %+v, %v", after, done, err)
		}
		m.restart()
		_, err = l.members[1].restore(archive, "none")
		wantCode(t, err, map[bool]session.Code{false: session.CodeInvalidRequest}[after < 2]) // nothing has come in yet
		if after < 2 {
			continue
		}
		last := l.members[1].mustRestore(archive, "all")
		if last.Index, whole.Index = done.Index, done.Index; last != whole {
			t.Errorf("broken off after %d commands, and taken up: %+v", after, last)
		}
		if s, _ := m.machine.Stats(); s.Sessions != 120 || s.Created != 120 {
			t.Errorf("%+v", s)
		}
	}
}

// Elections and lost answers are none of an operator's business.
func TestARestoreOutlivesElectionsAndLostAnswers(t *testing.T) {
	source := newTestLog(t, 1)
	crowd(t, source, 60)
	archive := source.members[0].saved()
	l := newTestLog(t, 2).operated()
	l.answersLost = 100
	if done := l.members[0].mustRestore(archive, "all"); done.Restored != 60 || done.Unchanged != 0 {
		t.Errorf("%+v", done)
	}
}

// chunksOf cuts an archive as a restore does.
func chunksOf(t tester, archive []byte, size uint64) (chunks [][][]byte) {
	t.Helper()
	cut := cutter{
		size: size, sessions: true, settle: func() error { return nil },
		send: func(pairs [][]byte) error { chunks = append(chunks, pairs); return nil },
	}
	if _, err := ReadArchive(context.Background(), bytes.NewReader(archive), cut.pair); err != nil {
		t.Fatal(err)
	}
	if err := cut.end(); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// Chunks of one window come in any order, and some twice, in one entry and in several.
func TestChunksCountOnceInWhateverOrderTheyCome(t *testing.T) {
	source := newTestLog(t, 1)
	tokens := crowd(t, source, 40)
	archive := source.members[0].saved()
	chunks := chunksOf(t, archive, 8<<10)
	if len(chunks) < 20 {
		t.Fatalf("%d chunks", len(chunks))
	}
	id := restoreID(contentsOf(t, archive).Checksum)
	for seed := range uint64(20) {
		chance := rand.New(rand.NewPCG(seed, 7))
		l := newTestLog(t, 2).operated()
		begin := command(t, envelope{Type: cmdRestore}, restoreBeginBody{ID: id, Mode: 1, Size: 8 << 10})
		end := command(t, envelope{Type: cmdRestored}, restoreEndBody{ID: id, Chunks: uint64(len(chunks)), Cluster: 5})
		if p := l.entry(begin, end, command(t, envelope{Type: cmdRestoring}, restoreChunkBody{ID: restoreID{1}})); p[0].code != codeOK || p[1].code != codeInvalidRequest || p[2].code != codeInvalidRequest {
			t.Fatalf("%+v", p)
		}
		var order []int
		for i := range chunks {
			order = append(order, i)
			if chance.IntN(3) == 0 {
				order = append(order, i)
			}
		}
		chance.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for len(order) > 0 {
			n := min(len(order), 1+chance.IntN(4))
			var commands [][]byte
			for _, i := range order[:n] {
				commands = append(commands, command(t, envelope{Type: cmdRestoring}, restoreChunkBody{ID: id, Number: uint64(i), Pairs: chunks[i]}))
			}
			for _, p := range l.entry(commands...) {
				if p.code != codeOK {
					t.Fatalf("%+v", p)
				}
			}
			order = order[n:]
		}
		if p := l.entry(end, end, begin, commandOfChunk(t, id, chunks[0])); p[0].code != codeOK || p[1].code != codeOK || p[1].index != p[0].index || p[3].code != codeOK {
			t.Errorf("%+v", p)
		}
		if s, _ := l.members[1].machine.Stats(); s.Sessions != 40 || s.Created != 40 || s.Users != 7 || s.Index.Cluster != 5 {
			t.Errorf("%+v", s)
		}
		for _, token := range tokens {
			l.members[1].mustLive(token)
		}
	}
}

func commandOfChunk(t tester, id restoreID, pairs [][]byte) []byte {
	t.Helper()
	return command(t, envelope{Type: cmdRestoring}, restoreChunkBody{ID: id, Pairs: pairs})
}

// What is in a chunk and cannot be read is refused on every node alike, whole.
func TestAChunkThatCannotBeReadChangesNothing(t *testing.T) {
	source := newTestLog(t, 1)
	crowd(t, source, 2)
	archive := source.members[0].saved()
	good := chunksOf(t, archive, 1<<20)[0]
	l := newTestLog(t, 2).operated()
	id := restoreID{1}
	l.entry(command(t, envelope{Type: cmdRestore}, restoreBeginBody{ID: id, Mode: 1, Size: 1}))
	_, hash := l.members[1].machine.Hash()
	for name, pairs := range map[string][][]byte{
		"a key alone":     append(good[:len(good):len(good)], []byte{prefixSession}),
		"a bad record":    append(good[:len(good):len(good)], sessionKey(fixed[session.ID](1)), []byte{0xff}),
		"a short key":     append(good[:len(good):len(good)], []byte{prefixSession, 1}, good[1]),
		"an index":        append(good[:len(good):len(good)], userKey("x", fixed[session.ID](1)), present),
		"a bad account":   append(good[:len(good):len(good)], accountKey("x"), []byte{1}),
		"a create's key":  append(good[:len(good):len(good)], idempotencyKey(fixed[[32]byte](1)), encodeRemembered(&remembered{command: cmdCreate})),
		"an empty key":    append(good[:len(good):len(good)], nil, nil),
		"a bad remembrer": append(good[:len(good):len(good)], idempotencyKey(fixed[[32]byte](1)), []byte{1}),
	} {
		if p := l.entry(commandOfChunk(t, id, pairs))[0]; p.code != codeInvalidRequest {
			t.Errorf("%s: %+v", name, p)
		}
	}
	far := command(t, envelope{Type: cmdRestoring}, restoreChunkBody{ID: id, Number: restoreWindow, Pairs: good})
	if p := l.entry(far)[0]; p.code != codeOverloaded {
		t.Errorf("too far ahead: %+v", p)
	}
	if _, now := l.members[1].machine.Hash(); now != hash {
		t.Error("the state has changed")
	}
}

// One restore replaces another that was given up, and the other's chunks are refused from then on.
func TestTheRestoreThatBeganLastCounts(t *testing.T) {
	source := newTestLog(t, 1)
	crowd(t, source, 60)
	archive := source.members[0].saved()
	l := newTestLog(t, 1).operated()
	m := l.members[0]
	ctx, cancel := context.WithCancel(t.Context())
	m.Sessions.log = &interrupted{member: m, left: 2, cancel: cancel}
	_, err := m.Restore(ctx, bytes.NewReader(archive), "all")
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.Sessions.log = m
	own := m.saved() // of what has come in so far
	if done := m.mustRestore(own, ""); done.Restored != 0 || done.Unchanged == 0 {
		t.Errorf("%+v", done)
	}
	chunk := commandOfChunk(t, restoreID(contentsOf(t, archive).Checksum), chunksOf(t, archive, restoreChunkBytes)[0])
	if p := l.entry(chunk)[0]; p.code != codeInvalidRequest {
		t.Errorf("%+v", p)
	}
}
