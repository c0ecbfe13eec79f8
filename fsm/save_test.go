package fsm

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

// saved makes an archive of what was written so far.
func (m *member) saved() []byte {
	m.log.t.Helper()
	var archive bytes.Buffer
	if _, err := m.Save(context.Background(), &archive); err != nil {
		m.log.t.Fatal(err)
	}
	return archive.Bytes()
}

func contentsOf(t tester, archive []byte) Contents {
	t.Helper()
	c, err := ReadArchive(context.Background(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASavedArchiveHoldsEveryWriteBeforeItAndNoSealedSecret(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	alice := m.login("alice", `{"n":1}`).Token
	m.login("bob", `{}`)
	_, err := m.Create(t.Context(), session.Create{Actor: service()})
	wantCode(t, err, "")
	l.now += session.Time(time.Minute.Milliseconds())
	rotated, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(alice), Token: alice, Rotate: true})
	wantCode(t, err, "")
	_, err = m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "carol"})
	wantCode(t, err, "")
	_, err = m.RevokeLogin(t.Context(), session.RevokeLogin{Issuer: "https://i/", SID: "s", TokenID: fixed[[32]byte](1)})
	wantCode(t, err, "")
	raw, _, _, err := m.machine.look(sessionKey(alice.ID))
	wantCode(t, err, "")
	stored, err := decodeRecord(alice.ID, raw)
	wantCode(t, err, "")
	sealed := stored.Rotation.Sealed
	if len(sealed) == 0 {
		t.Fatal("the rotation has sealed nothing: this test would show nothing")
	}

	archive := m.saved()
	got := contentsOf(t, archive)
	index, _, stamp := m.machine.Applied()
	want := Contents{
		Header:   snapshot.Header{Cluster: testCluster, Index: index, Term: 1, Stamp: stamp, Kind: snapshot.Saved, Hash: got.Header.Hash},
		Sessions: 3, Users: 2, Anonymous: 1, NotBefores: 1, EndedLogins: 2, Events: 4, Pairs: 1 + 3 + 4 + 2 + 3,
		RawBytes: got.RawBytes, Checksum: got.Checksum,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	plain := 0
	_, err = ReadArchive(t.Context(), bytes.NewReader(archive), func(key, value []byte) error {
		plain += len(value)
		if bytes.Contains(value, sealed) || bytes.Contains(value, rotated.Token.Secret[:]) || bytes.Contains(value, alice.Secret[:]) {
			t.Errorf("the pair %x holds a secret", key)
		}
		if key[0] == prefixSession {
			rec, err := decodeRecord(tailID(key), value)
			if err != nil || rec.Rotation.GraceUntil != 0 || rec.ID == alice.ID && (len(rec.Rotation.Used) != 1 || !rec.SecretHash.Matches(rotated.Token.Secret)) {
				t.Errorf("%+v, %v", rec.Rotation, err)
			}
		}
		return nil
	})
	if err != nil || plain == 0 {
		t.Error(plain, err)
	}
}

func TestASavedArchiveIsNoneThatAMemberTakes(t *testing.T) {
	m := newTestMember(t)
	m.login("alice", `{}`)
	if err := newTestMachine(t).Import(bytes.NewReader(m.saved())); err == nil {
		t.Error("a member took it")
	}
	if _, err := ReadArchive(t.Context(), bytes.NewReader(m.exported()), nil); !errors.Is(err, ErrArchiveKind) {
		t.Errorf("what members exchange: %v", err)
	}
}

func TestASavedArchiveOfAnEmptyNodeIsWhole(t *testing.T) {
	var archive bytes.Buffer
	if _, err := newTestMachine(t).Save(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	if c := contentsOf(t, archive.Bytes()); c.Pairs != 0 || c.Header.Index != 0 {
		t.Errorf("%+v", c)
	}
}

func TestASaveEndsWithItsContext(t *testing.T) {
	m := newTestMember(t)
	for range saveAsk {
		m.login("", `{}`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.machine.Save(ctx, new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A table whose pairs are not those of its hash has lost something, or has it from elsewhere.
func TestADamagedStateIsNotSaved(t *testing.T) {
	table, err := storage.Open(t.TempDir()+"/t.db", storage.Options{InitialMmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	m, err := OpenMachine(table)
	if err != nil {
		t.Fatal(err)
	}
	m.Begin(1, 1, int64(midnight), testCluster)
	var stray storage.Batch
	stray.Put(userKey("alice", fixed[session.ID](1)), present)
	table.Write(&stray)
	table.Advance(2, 1)
	if _, err := m.Save(t.Context(), new(bytes.Buffer)); !errors.Is(err, ErrStateHash) {
		t.Errorf("saved with %v", err)
	}
}

// What has the right checksum and hash, and is still nothing that a node writes.
func TestAForgedSavedArchiveIsRefused(t *testing.T) {
	m := newTestMember(t)
	m.login("alice", `{"n":1}`)
	archive := m.saved()
	var pairs []pair
	if _, err := ReadArchive(t.Context(), bytes.NewReader(archive), func(key, value []byte) error {
		pairs = append(pairs, pair{bytes.Clone(key), bytes.Clone(value)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	header := contentsOf(t, archive).Header
	at := func(prefix byte) int {
		for i := range pairs {
			if pairs[i].key[0] == prefix {
				return i
			}
		}
		t.Fatalf("no pair of kind %x", prefix)
		return -1
	}
	altered := func(change func(*record)) func([]pair, *snapshot.Header) []pair {
		return func(p []pair, _ *snapshot.Header) []pair {
			i := at(prefixSession)
			rec, err := decodeRecord(tailID(p[i].key), p[i].value)
			if err != nil {
				t.Fatal(err)
			}
			change(&rec)
			p[i].value = encodeRecord(&rec)
			return p
		}
	}
	for name, change := range map[string]func([]pair, *snapshot.Header) []pair{
		"as it was":      func(p []pair, _ *snapshot.Header) []pair { return p },
		"a session less": func(p []pair, _ *snapshot.Header) []pair { i := at(prefixSession); return append(p[:i:i], p[i+1:]...) },
		"no meta":        func(p []pair, _ *snapshot.Header) []pair { return p[1:] },
		"an index": func(p []pair, _ *snapshot.Header) []pair {
			i := at(prefixAccount)
			return append(p[:i:i], append([]pair{{userKey("x", fixed[session.ID](1)), present}}, p[i:]...)...)
		},
		"a pair twice":       func(p []pair, _ *snapshot.Header) []pair { return append(p, p[len(p)-1]) },
		"pairs out of order": func(p []pair, _ *snapshot.Header) []pair { p[0], p[1] = p[1], p[0]; return p },
		"another time":       func(p []pair, h *snapshot.Header) []pair { h.Stamp++; return p },
		"another cluster":    func(p []pair, h *snapshot.Header) []pair { h.Cluster++; return p },
		"a later kind":       func(p []pair, h *snapshot.Header) []pair { h.Kind = 3; return p },
		"a record cut short": func(p []pair, _ *snapshot.Header) []pair {
			i := at(prefixSession)
			p[i].value = p[i].value[:9]
			return p
		},
		"data that is no object":   altered(func(r *record) { r.Data = []byte(`[]`) }),
		"data in another spelling": altered(func(r *record) { r.Data = []byte(`{ "n":1}`) }),
		"no version":               altered(func(r *record) { r.Version = 0 }),
		"no end":                   altered(func(r *record) { r.AbsoluteExpiresAt = r.CreatedAt + 1<<50 }),
		"queued behind its end":    altered(func(r *record) { r.queuedAt = r.ExpiresAt() + 1 }),
		"a zero in a name":         altered(func(r *record) { r.UserID = "a\x00b" }),
		"a user without a session": func(p []pair, _ *snapshot.Header) []pair {
			p[at(prefixAccount)].key = accountKey("alice2")
			p[at(prefixAccount)].value = encodeAccount(account{live: 2})
			return p
		},
		"an Idempotency-Key's doing": func(p []pair, _ *snapshot.Header) []pair {
			return append(p, pair{idempotencyKey(fixed[[32]byte](1)), encodeRemembered(&remembered{command: cmdCreate, at: 1})})
		},
	} {
		h := header
		h.Hash = 0
		changed := make([]pair, len(pairs))
		for i, p := range pairs {
			changed[i] = pair{bytes.Clone(p.key), bytes.Clone(p.value)}
		}
		changed = change(changed, &h)
		_, err := ReadArchive(t.Context(), bytes.NewReader(forge(t, h, changed...)), nil)
		switch {
		case name == "as it was":
			if err != nil {
				t.Fatal(err)
			}
		case !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrNewer):
			t.Errorf("%s: %v", name, err)
		}
	}
	header.Hash = 1
	if _, err := ReadArchive(t.Context(), bytes.NewReader(forge(t, header, pairs...)), nil); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("another hash: %v", err)
	}
}
