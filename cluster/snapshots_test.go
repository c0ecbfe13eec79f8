package cluster

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func newTestSnapshots(t *testing.T) (*snapshotStore, *testMachine, *error) {
	t.Helper()
	var failed error
	m := openTestMachine(new(disk))
	dir := t.TempDir()
	spool, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	fail := func(err error) { failed = err }
	return &snapshotStore{
		counts:  new(snapshotCounts),
		machine: m, spool: spool, logs: raft.NewInmemStore(), mark: newWatermark(0),
		watch: newWatchdog(time.Minute, fail), fail: fail, received: make(map[string]*sink),
	}, m, &failed
}

func TestASinkWithoutDataFlushesAndRecordsTheGreaterIndex(t *testing.T) {
	s, m, _ := newTestSnapshots(t)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("an empty machine lists %v, %v", list, err)
	}
	conf := bootstrapConfiguration([]string{"a"})
	m.Configure(1, raft.EncodeConfiguration(conf))
	m.Apply(5, 2, 100, [][]byte{[]byte("r1 set k v")})
	for _, c := range []struct{ index, want uint64 }{{3, 5}, {9, 9}} {
		sink, err := s.Create(1, c.index, 2, conf, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		list, err := s.List()
		if err != nil || len(list) != 1 || list[0].Index != c.want || !sameConfiguration(list[0].Configuration, conf) {
			t.Errorf("after %d: %+v, %v", c.index, list, err)
		}
	}
}

func TestOpenGivesTheExportsOwnPlaceAndSize(t *testing.T) {
	s, m, _ := newTestSnapshots(t)
	m.Configure(1, raft.EncodeConfiguration(bootstrapConfiguration([]string{"a"})))
	m.Apply(5, 2, 100, [][]byte{[]byte("r1 set k v")})
	if err := m.Flush(0, 0); err != nil {
		t.Fatal(err)
	}
	meta, archive, err := s.Open(durableID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(archive)
	if err != nil || int64(len(raw)) != meta.Size || meta.Index != 5 || meta.Term != 2 {
		t.Errorf("%+v for %d bytes, %v", meta, len(raw), err)
	}
	if err := archive.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(s.spool); len(left) != 0 {
		t.Errorf("%v is left in the spool", left)
	}
}

func TestAReceivedArchiveIsOpenedByItsIDAndNotListed(t *testing.T) {
	s, m, _ := newTestSnapshots(t)
	conf := bootstrapConfiguration([]string{"a"})
	sink, err := s.Create(1, 7, 2, conf, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sink, "an archive"); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("it is listed before it is imported: %v, %v", list, err)
	}
	if index, _, _, _ := m.Durable(); index != 0 {
		t.Error("it reached the table")
	}
	meta, archive, err := s.Open(sink.ID())
	if err != nil || meta.Index != 7 || meta.Size != 10 {
		t.Fatalf("%+v, %v", meta, err)
	}
	raw, err := io.ReadAll(archive)
	if string(raw) != "an archive" || err != nil {
		t.Errorf("%q, %v", raw, err)
	}
	_ = archive.Close()
	if _, _, err := s.Open(sink.ID()); err == nil {
		t.Error("it can be opened twice")
	}
}

func TestAnOldArchiveIsRefused(t *testing.T) {
	s, _, _ := newTestSnapshots(t)
	s.mark.advance(8)
	sink, _ := s.Create(1, 7, 2, raft.Configuration{}, 1, nil)
	_, _ = io.WriteString(sink, "an archive")
	if err := sink.Close(); err == nil || !strings.Contains(err.Error(), "older") {
		t.Error(err)
	}
}

func TestTheSameArchiveTwiceWithALongerLogMeansADivergedTail(t *testing.T) {
	s, _, failed := newTestSnapshots(t)
	s.installed(7)
	s.installed(7)
	if *failed != nil {
		t.Errorf("an answer that was lost is no divergence: %v", *failed)
	}
	if err := s.logs.StoreLog(&raft.Log{Index: 9}); err != nil {
		t.Fatal(err)
	}
	s.installed(7)
	if !errors.Is(*failed, ErrDiverged) {
		t.Error(*failed)
	}
}

func TestACancelledArchiveLeavesNothing(t *testing.T) {
	s, _, _ := newTestSnapshots(t)
	sink, _ := s.Create(1, 7, 2, raft.Configuration{}, 1, nil)
	_, _ = io.WriteString(sink, "half an arch")
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Open(sink.ID()); err == nil {
		t.Error("it can be opened")
	}
}
