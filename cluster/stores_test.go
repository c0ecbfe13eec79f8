package cluster

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func noFailure(t *testing.T) func(error) {
	return func(err error) { t.Errorf("the node was stopped: %v", err) }
}

func TestTheLogKeepsWhatWasAppendedAcrossAReopening(t *testing.T) {
	dir := t.TempDir()
	file, err := openLogFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newLogStore(file, 1<<20, newWatchdog(time.Minute, noFailure(t)), noFailure(t))
	var logs []*raft.Log
	for i := range uint64(1500) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: encodeOpening(int64(i), 1)})
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(1, 1200); err != nil { // more than one transaction
		t.Fatal(err)
	}
	if err := s.DeleteRange(1400, 1500); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if file, err = openLogFile(dir); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s = newLogStore(file, 1<<20, newWatchdog(time.Minute, noFailure(t)), noFailure(t))
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 1201 || last != 1399 {
		t.Errorf("%d to %d", first, last)
	}
	var got raft.Log
	if err := s.GetLog(1300, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(logs[1299].Data, got.Data); diff != "" {
		t.Error(diff)
	}
	if err := s.GetLog(1200, &got); !errors.Is(err, raft.ErrLogNotFound) {
		t.Error(err)
	}
}

func TestALogThatAnotherProcessHasOpenIsRefusedWithTheReason(t *testing.T) {
	dir := t.TempDir()
	file, err := openLogFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := openLogFile(dir); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Error(err)
	}
}

func TestARottenEntryIsRefusedWhenItIsRead(t *testing.T) {
	inner := raft.NewInmemStore()
	rotten := encodeOpening(1, 1)
	rotten[15] ^= 4
	if err := inner.StoreLog(&raft.Log{Index: 1, Type: raft.LogCommand, Data: rotten}); err != nil {
		t.Fatal(err)
	}
	var failed error
	s := newLogStore(inner, 1<<20, newWatchdog(time.Minute, nil), func(err error) { failed = err })
	var got raft.Log
	if err := s.GetLog(1, &got); !errors.Is(err, ErrCorrupt) || !errors.Is(failed, ErrCorrupt) {
		t.Errorf("%v, %v", err, failed)
	}
}

// brokenStore fails every write.
type brokenStore struct{ *raft.InmemStore }

var errBroken = errors.New("input/output error")

func (brokenStore) StoreLogs([]*raft.Log) error      { return errBroken }
func (brokenStore) DeleteRange(uint64, uint64) error { return errBroken }
func (brokenStore) Set([]byte, []byte) error         { return errBroken }
func (brokenStore) SetUint64([]byte, uint64) error   { return errBroken }

func TestAnyWriteErrorEndsTheNode(t *testing.T) {
	inner := brokenStore{raft.NewInmemStore()}
	for name, write := range map[string]func(*logStore, *stableStore) error{
		"append": func(l *logStore, _ *stableStore) error { return l.StoreLog(&raft.Log{Index: 1}) },
		"delete": func(l *logStore, _ *stableStore) error { return l.DeleteRange(1, 1) },
		"vote":   func(_ *logStore, s *stableStore) error { return s.Set([]byte("k"), []byte("v")) },
		"term":   func(_ *logStore, s *stableStore) error { return s.SetUint64([]byte("k"), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			var failed error
			fail := func(err error) { failed = err }
			watch := newWatchdog(time.Minute, fail)
			err := write(newLogStore(inner, 1<<20, watch, fail), &stableStore{StableStore: inner, watch: watch, fail: fail})
			if !errors.Is(err, errBroken) || !errors.Is(failed, ErrDisk) || !errors.Is(failed, errBroken) {
				t.Errorf("%v, %v", err, failed)
			}
			if len(watch.running) != 0 {
				t.Error("the watchdog still watches it")
			}
		})
	}
}

func TestAWipedStoreIsKnown(t *testing.T) {
	store := raft.NewInmemStore()
	if empty, err := wiped(store, store); err != nil || !empty {
		t.Errorf("%v, %v", empty, err)
	}
	if err := store.SetUint64(keyCurrentTerm, 3); err != nil {
		t.Fatal(err)
	}
	if empty, err := wiped(store, store); err != nil || empty {
		t.Errorf("a store that knows a term: %v, %v", empty, err)
	}
	file, err := openLogFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if empty, err := wiped(file, file); err != nil || !empty {
		t.Errorf("%v, %v", empty, err)
	}
}

func TestTheWatchdogBitesOnceSomethingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bitten := make(chan error, 1)
		w := newWatchdog(5*time.Second, func(err error) { bitten <- err })
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(t.Context())
		}()
		for range 10 { // many that come back are no harm
			end := w.begin("append to the log")
			time.Sleep(time.Second)
			end()
		}
		began := time.Now()
		defer w.begin("flush of the table")()
		err := <-bitten
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second || !errors.Is(err, ErrDisk) {
			t.Errorf("after %s: %v", took, err)
		}
		<-done
	})
}
