package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// someLogs are entries of every type that a log holds.
func someLogs() []*raft.Log {
	configuration := raft.EncodeConfiguration(bootstrapConfiguration([]string{"n1", "n2", "n3"}))
	return []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: configuration},
		{Index: 2, Term: 2, Type: raft.LogNoop},
		{Index: 3, Term: 2, Type: raft.LogCommand, Data: encodeOpening(7, 1)},
		{Index: 4, Term: 2, Type: raft.LogBarrier},
		{Index: 5, Term: 2, Type: raft.LogCommand, Data: encodeBatch(8, [][]byte{[]byte("a command")})},
	}
}

func TestNoBitOfAnEntryChangesUnseen(t *testing.T) {
	for _, l := range sealLogs(someLogs()) {
		whole := *l
		if err := unsealLog(l.Index, &whole); err != nil || whole.Extensions != nil {
			t.Fatalf("%s: %v", l.Type, err)
		}
		for i := range l.Data {
			for bit := range 8 {
				changed := *l
				changed.Data = append([]byte(nil), l.Data...)
				changed.Data[i] ^= 1 << bit
				if err := unsealLog(l.Index, &changed); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%s, byte %d, bit %d: %v", l.Type, i, bit, err)
				}
			}
		}
		for name, change := range map[string]func(*raft.Log){
			"index": func(l *raft.Log) { l.Index ^= 1 },
			"term":  func(l *raft.Log) { l.Term ^= 4 },
			"type":  func(l *raft.Log) { l.Type ^= 1 },
			"seal":  func(l *raft.Log) { l.Extensions = []byte{sealVersion, 0, 0, 0, 0} },
			"short": func(l *raft.Log) { l.Extensions = l.Extensions[:4] },
		} {
			changed := *l
			change(&changed)
			if err := unsealLog(l.Index, &changed); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s of %s: %v", name, l.Type, err)
			}
		}
	}
}

func TestEntriesOfAReleaseWithoutSealsAreRead(t *testing.T) {
	for _, l := range someLogs() {
		if err := unsealLog(l.Index, l); err != nil {
			t.Errorf("%s: %v", l.Type, err)
		}
	}
}

func TestTermAndVoteAreSealedAndReadBack(t *testing.T) {
	dir := t.TempDir()
	file, err := openLogFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	fail := noFailure(t)
	s := &stableStore{StableStore: file, watch: newWatchdog(time.Minute, fail), fail: fail}
	if _, err := s.GetUint64(keyCurrentTerm); !notFound(err) {
		t.Error(err)
	}
	if err := errors.Join(s.SetUint64(keyCurrentTerm, 3), s.SetUint64(keyLastVoteTerm, 3), s.Set(keyLastVoteCand, []byte("n2"))); err != nil {
		t.Fatal(err)
	}
	term, err := s.GetUint64(keyCurrentTerm)
	vote, voteErr := s.GetUint64(keyLastVoteTerm)
	candidate, candidateErr := s.Get(keyLastVoteCand)
	if err := errors.Join(err, voteErr, candidateErr, s.scrub()); err != nil || term != 3 || vote != 3 || string(candidate) != "n2" {
		t.Errorf("%d, %d, %q, %v", term, vote, candidate, err)
	}
	// A release without seals reads the same term.
	if old, err := file.GetUint64(keyCurrentTerm); err != nil || old != 3 {
		t.Errorf("%d, %v", old, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := InspectLogFile(filepath.Join(dir, LogFile), walkFile); err != nil {
		t.Error(err)
	}
}

func TestWhatAnOlderReleasePromisedIsSealedAtTheStart(t *testing.T) {
	file, err := openLogFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := errors.Join(file.SetUint64(keyCurrentTerm, 9), file.SetUint64(keyLastVoteTerm, 8), file.Set(keyLastVoteCand, []byte("n3"))); err != nil {
		t.Fatal(err)
	}
	fail := noFailure(t)
	s := &stableStore{StableStore: file, watch: newWatchdog(time.Minute, fail), fail: fail}
	for range 2 { // the second time there is nothing left to do
		if err := s.recall(raft.Log{Index: 4, Term: 9}); err != nil {
			t.Fatal(err)
		}
	}
	stored, _ := file.Get(keyCurrentTerm)
	vote, _ := s.GetUint64(keyLastVoteTerm)
	candidate, _ := s.Get(keyLastVoteCand)
	if len(stored) != sealedTermBytes || vote != 8 || string(candidate) != "n3" {
		t.Errorf("%x, %d, %q", stored, vote, candidate)
	}
}

// Whatever is lost or changed of what a node promised, it must not go on.
func TestANodeThatHasForgottenAPromiseDoesNotStart(t *testing.T) {
	put := func(key, value []byte) func(*testing.T, *bbolt.Bucket) error {
		return func(_ *testing.T, b *bbolt.Bucket) error { return b.Put(key, value) }
	}
	remove := func(key []byte) func(*testing.T, *bbolt.Bucket) error {
		return func(_ *testing.T, b *bbolt.Bucket) error { return b.Delete(key) }
	}
	changed := sealStable(keyCurrentTerm, []byte{0, 0, 0, 0, 0, 0, 0, 5})
	changed[7] = 4
	voted := sealStable(keyLastVoteCand, []byte("n2"))
	voted[1] = '3'
	for name, harm := range map[string]func(*testing.T, *bbolt.Bucket) error{
		"a smaller term":     put(keyCurrentTerm, changed),
		"another candidate":  put(keyLastVoteCand, voted),
		"no term":            remove(keyCurrentTerm),
		"no vote":            remove(keyLastVoteTerm),
		"no candidate":       remove(keyLastVoteCand),
		"a term of long ago": put(keyCurrentTerm, sealStable(keyCurrentTerm, []byte{0, 0, 0, 0, 0, 0, 0, 2})),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, err := openLogFile(dir)
			if err != nil {
				t.Fatal(err)
			}
			s := &stableStore{StableStore: file, watch: newWatchdog(time.Minute, noFailure(t)), fail: noFailure(t)}
			if err := errors.Join(s.SetUint64(keyCurrentTerm, 5), s.SetUint64(keyLastVoteTerm, 5), s.Set(keyLastVoteCand, []byte("n2"))); err != nil {
				t.Fatal(err)
			}
			if err := s.recall(raft.Log{Index: 4, Term: 5}); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(filepath.Join(dir, LogFile), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error { return harm(t, tx.Bucket([]byte(confBucket))) }); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if file, err = openLogFile(dir); err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			s = &stableStore{StableStore: file, watch: newWatchdog(time.Minute, nil), fail: func(error) {}}
			if err := s.recall(raft.Log{Index: 4, Term: 5}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAScrubRereadsTheLogFromItsFile(t *testing.T) {
	file, err := openLogFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := newLogStore(file, 1<<20, newWatchdog(time.Minute, noFailure(t)), noFailure(t))
	if err := s.StoreLogs(someLogs()); err != nil {
		t.Fatal(err)
	}
	nothing := func() uint64 { return 0 }
	if n, err := s.scrub(t.Context(), nothing, func() {}); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	// What is in memory is well: the file is what is asked.
	if err := file.StoreLog(&raft.Log{Index: 3, Term: 2, Data: []byte("not what was written")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.scrub(t.Context(), nothing, func() {}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "entry 3") {
		t.Error(err)
	}
	if err := file.DeleteRange(3, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.scrub(t.Context(), nothing, func() {}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a hole above the table: %v", err)
	}
	if n, err := s.scrub(t.Context(), func() uint64 { return 3 }, func() {}); err != nil || n != 4 {
		t.Errorf("a hole that the table covers: %d, %v", n, err)
	}
	// The log is cut under a scrub.
	cut := false
	var logs []*raft.Log
	for i := range uint64(2 * logPiece) {
		logs = append(logs, &raft.Log{Index: 100 + i, Term: 2, Type: raft.LogNoop})
	}
	if err := errors.Join(file.DeleteRange(1, 99), s.StoreLogs(logs)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.scrub(t.Context(), nothing, func() {
		if !cut {
			cut = true
			if err := s.DeleteRange(100, 100+logPiece+50); err != nil {
				t.Error(err)
			}
		}
	}); err != nil || !cut {
		t.Errorf("the front was cut meanwhile: %v", err)
	}
}

func TestAFlippedBitInIdentityIsNoticed(t *testing.T) {
	whole := identity{Format: identityFormat, NodeID: "n1", Cluster: "51a63d8b9d3b044f"}
	dir := t.TempDir()
	if err := writeIdentity(dir, whole); err != nil {
		t.Fatal(err)
	}
	want, err := readIdentity(dir)
	if err != nil || want.Sum == "" {
		t.Fatal(want, err)
	}
	raw := mustRead(t, filepath.Join(dir, identityFile))
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte(nil), raw...)
			changed[i] ^= 1 << bit
			got, err := decodeIdentity(changed)
			if got.Sum = want.Sum; err == nil && !cmp.Equal(got, want) {
				t.Errorf("byte %d, bit %d: %+v", i, bit, got)
			}
		}
	}
	// A release without sums wrote this.
	old := []byte(`{"format": 1, "node_id": "n1", "cluster": "51a63d8b9d3b044f"}`)
	if got, err := decodeIdentity(old); err != nil || !cmp.Equal(got, whole) {
		t.Errorf("%+v, %v", got, err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
