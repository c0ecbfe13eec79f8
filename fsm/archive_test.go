package fsm

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

// newTestMachine is empty, and belongs to no log.
func newTestMachine(t testing.TB) *Machine {
	t.Helper()
	table, err := storage.Open(t.TempDir()+"/t.db", storage.Options{InitialMmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenMachine(table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkMachine(t, m)
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *member) exported() []byte {
	m.log.t.Helper()
	m.flush()
	var archive bytes.Buffer
	if _, _, _, _, err := m.machine.Export(&archive); err != nil {
		m.log.t.Fatal(err)
	}
	return archive.Bytes()
}

func TestAnArchiveHoldsTheWholeState(t *testing.T) {
	l := newTestLog(t, 1)
	m := l.members[0]
	m.machine.Configure(1, []byte("who is a member"))
	token := m.login("alice", `{"n":1}`).Token
	_, err := m.Refresh(t.Context(), session.Refresh{Actor: holder(token), Idempotency: idem(1, 1)})
	wantCode(t, err, "")
	_, err = m.RevokeUser(t.Context(), session.RevokeUser{Actor: service(), UserID: "bob"})
	wantCode(t, err, "")
	archive := m.exported()

	other := newTestMachine(t)
	if err := other.Import(bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	index, term, configuration, configurationIndex := other.Durable()
	if index != 4 || term != 1 || string(configuration) != "who is a member" || configurationIndex != 1 || other.Cluster() != testCluster {
		t.Errorf("imported %d of term %d, configuration %q of %d, cluster %x", index, term, configuration, configurationIndex, other.Cluster())
	}
	if i, h := other.Hash(); func() bool { i1, h1 := m.machine.Hash(); return i != i1 || h != h1 }() {
		t.Errorf("hash %x at %d", h, i)
	}
	if err := other.Scrub(t.Context(), func() {}); err != nil {
		t.Error(err)
	}
}

// forge writes an archive whose checksum and hash are right, whatever its pairs.
func forge(t tester, h snapshot.Header, pairs ...pair) []byte {
	t.Helper()
	for _, p := range pairs {
		if string(p.key) != string(metaHashKey) {
			h.Hash += pairHash(p.key, p.value)
		}
	}
	for i, p := range pairs {
		if string(p.key) == string(metaHashKey) && len(p.value) == 8 {
			pairs[i].value = encodeHash(uint64(p.value[7]), h.Hash)
		}
	}
	h.Kind = max(h.Kind, snapshot.Member)
	var b bytes.Buffer
	w, err := snapshot.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if err := w.Put(p.key, p.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnArchiveThatIsNotSoundLeavesTheOldState(t *testing.T) {
	state := pair{metaStateKey, encodeMeta(&meta{cluster: 2, stamp: midnight})}
	hashAt := func(index byte) pair { return pair{metaHashKey, []byte{0, 0, 0, 0, 0, 0, 0, index}} }
	whole := forge(t, snapshot.Header{Index: 9}, hashAt(9), state)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, archive := range map[string][]byte{
		"nothing":                    nil,
		"a flipped bit":              flipped,
		"cut short":                  whole[:len(whole)-5],
		"an operator's archive":      forge(t, snapshot.Header{Index: 9, Kind: snapshot.Saved}, hashAt(9), state),
		"a state of another hash":    forge(t, snapshot.Header{Index: 9, Hash: 1}, pair{metaHashKey, encodeHash(9, 0)}, state),
		"a state without its hash":   forge(t, snapshot.Header{Index: 9}, state),
		"a hash without its state":   forge(t, snapshot.Header{Index: 9}, hashAt(9)),
		"a hash pair that is none":   forge(t, snapshot.Header{Index: 9}, pair{metaHashKey, []byte{1}}, state),
		"a state beyond its index":   forge(t, snapshot.Header{Index: 8}, hashAt(9), state),
		"a state that does not read": forge(t, snapshot.Header{Index: 9}, hashAt(9), pair{metaStateKey, []byte{1}}),
		"an incarnation that does not read": forge(t, snapshot.Header{Index: 9}, hashAt(9), state,
			pair{incarnationKey(1), []byte{1}}),
		"an incarnation without a number": forge(t, snapshot.Header{Index: 9}, hashAt(9), state,
			pair{[]byte{prefixIncarnation, 1}, new(incarnation).encode()}),
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, 1)
			m := l.members[0]
			token := m.login("alice", "").Token
			if err := m.machine.Import(bytes.NewReader(archive)); err == nil {
				t.Fatal("it was imported")
			}
			m.mustLive(token)
			m.crash() // nor is it on disk
			if _, _, stamp := m.machine.Applied(); session.Time(stamp) != midnight || m.machine.Cluster() != testCluster {
				t.Errorf("after a restart the machine is of cluster %x", m.machine.Cluster())
			}
		})
	}
}

func TestASoundArchiveIsImported(t *testing.T) {
	m := newTestMachine(t)
	archive := forge(t, snapshot.Header{Index: 12},
		pair{metaHashKey, []byte{0, 0, 0, 0, 0, 0, 0, 9}}, pair{metaStateKey, encodeMeta(&meta{cluster: 2, stamp: midnight})})
	if err := m.Import(bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	if index, _, stamp := m.Applied(); index != 12 || session.Time(stamp) != midnight {
		t.Errorf("applied %d at %d", index, stamp)
	}
	empty := newTestMachine(t)
	if err := empty.Import(bytes.NewReader(forge(t, snapshot.Header{}))); err != nil {
		t.Error(err)
	}
}

func TestAnExportThatCannotBeWrittenSaysSo(t *testing.T) {
	m := newTestMember(t)
	m.login("alice", "")
	m.flush()
	if _, _, _, _, err := m.machine.Export(failing{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAScrubFindsAPairThatIsGoneOrHasComeBack(t *testing.T) {
	for name, change := range map[string]func(b *storage.Batch){
		"gone":      func(b *storage.Batch) { b.Delete(accountKey("alice")) },
		"come back": func(b *storage.Batch) { b.Put(accountKey("bob"), encodeAccount(account{live: 1})) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestMember(t)
			m.login("alice", "")
			m.flush()
			if err := m.machine.Scrub(t.Context(), func() {}); err != nil {
				t.Fatal(err)
			}
			hurt := func(change func(*storage.Batch)) {
				var b storage.Batch
				change(&b)
				m.table.Write(&b)
				at, term, _ := m.machine.Applied()
				m.table.Advance(at, term)
				if err := m.machine.Flush(at+1, term); err != nil {
					t.Fatal(err)
				}
			}
			hurt(change)
			if err := m.machine.Scrub(t.Context(), func() {}); !errors.Is(err, ErrStateHash) {
				t.Errorf("got %v", err)
			}
			hurt(func(b *storage.Batch) { // for the check of the clean-up
				b.Put(accountKey("alice"), encodeAccount(account{live: 1}))
				b.Delete(accountKey("bob"))
			})
		})
	}
}

func TestATableThatContradictsItselfIsNotOpened(t *testing.T) {
	for name, c := range map[string]struct {
		key, value []byte
		says       string
	}{
		"meta":        {metaStateKey, []byte{1}, "meta"},
		"hash":        {metaHashKey, []byte{1}, "state hash"},
		"too far":     {metaHashKey, encodeHash(99, 0), "entry 99"},
		"incarnation": {incarnationKey(1), []byte{1}, "incarnation"},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := storage.Open(t.TempDir()+"/t.db", storage.Options{InitialMmapSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer table.Close()
			m, err := OpenMachine(table)
			if err != nil {
				t.Fatal(err)
			}
			m.Begin(1, 1, int64(midnight), 1)
			var b storage.Batch
			b.Put(c.key, c.value)
			table.Write(&b)
			table.Advance(2, 1)
			if err := table.Flush(t.Context(), 2, 1); err != nil {
				t.Fatal(err)
			}
			if _, err = OpenMachine(table); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}
