package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const scheduleCluster = 0xfeed

// newTestSchedule writes archives whose index counts on.
func newTestSchedule(dir string, every time.Duration, keep int) (s *schedule, fail *error) {
	fail = new(error)
	index := uint64(0)
	return &schedule{
		dir: dir, every: every, keep: keep, cluster: func() uint64 { return scheduleCluster }, log: slog.New(slog.DiscardHandler),
		save: func(_ context.Context, w io.Writer) (session.Index, error) {
			index++
			_, err := io.WriteString(w, "archive")
			return session.Index{Cluster: scheduleCluster, Index: index}, errors.Join(err, *fail)
		},
	}, fail
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// scheduleFor runs a schedule for a while of the bubble's clock, and ends it.
func scheduleFor(t *testing.T, s *schedule, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
	cancel()
	<-done
}

func TestAScheduleCountsFromTheNewestArchiveAndKeepsTheLast(t *testing.T) {
	dir := t.TempDir()
	foreign := []string{
		"notes.txt", "holdfast-000000000000beef-1-20000101T000000Z.archive", "holdfast-000000000000feed-1-20000101T000000Z.archive.bak",
		"holdfast-000000000000feed-1.archive", "xholdfast-000000000000feed-1-20000101T000000Z.archive",
	}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := func() (names []string) {
		return slices.DeleteFunc(namesIn(t, dir), func(name string) bool { return slices.Contains(foreign, name) })
	}
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTestSchedule(dir, time.Hour, 3)
		scheduleFor(t, s, 30*time.Minute)
		if got := own(); len(got) != 1 || got[0] != "holdfast-000000000000feed-1-20000101T000000Z.archive" {
			t.Fatalf("at once: %v", got)
		}
		// A restart neither doubles nor skips: the next one is due when it would have been.
		again, _ := newTestSchedule(dir, time.Hour, 3)
		scheduleFor(t, again, 29*time.Minute)
		if got := own(); len(got) != 1 || again.last.Load() == nil {
			t.Fatalf("after a restart, too soon: %v", got)
		}
		scheduleFor(t, again, time.Minute+time.Second)
		if got := own(); len(got) != 2 {
			t.Fatalf("after a restart, when it is due: %v", got)
		}
		scheduleFor(t, again, 5*time.Hour)
		got := own()
		if len(got) != 3 || !strings.Contains(got[0], "T040000Z") || again.made.Load() != 6 || again.fails.Load() != 0 {
			t.Fatalf("after five hours: %v, %d made", got, again.made.Load())
		}
		stat, err := os.Stat(filepath.Join(dir, got[0]))
		if err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", stat.Mode(), err)
		}
		// A clock that was set back by days waits for one interval, no longer.
		if err := os.WriteFile(filepath.Join(dir, "holdfast-000000000000feed-99-20000105T000000Z.archive"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if wait := again.due(time.Now()); wait != time.Hour {
			t.Errorf("with an archive of the future: %s", wait)
		}
	})
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestAScheduledArchiveThatFailsLeavesNothingAndIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, fail := newTestSchedule(dir, time.Hour, 3)
		*fail = errors.New("no leader")
		scheduleFor(t, s, 2*time.Minute+time.Second)
		if got := namesIn(t, dir); len(got) != 0 || s.fails.Load() != 3 || s.made.Load() != 0 {
			t.Errorf("%v, %d failures", got, s.fails.Load())
		}
		*fail = nil
		scheduleFor(t, s, time.Second)
		if got := namesIn(t, dir); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestWhatACrashLeftIsRemovedOnceItIsOld(t *testing.T) {
	dir := t.TempDir()
	s, _ := newTestSchedule(dir, time.Hour, 3)
	old, young := filepath.Join(dir, partPrefix+"1"+partSuffix), filepath.Join(dir, partPrefix+"2"+partSuffix)
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, dir); len(got) != 2 || slices.Contains(got, filepath.Base(old)) {
		t.Errorf("%v", got)
	}
}

func TestAServerWritesScheduledArchivesThatAreWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archives")
	c := newTestCluster(t, 1, "--snapshot-schedule", "1m", "--snapshot-dir", dir)
	n := c.nodes[0]
	deadline := time.Now().Add(20 * time.Second)
	for {
		if time.Now().After(deadline) {
			t.Fatal("no archive was written")
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*.archive")); len(names) == 1 {
			if code, out, errs := c.snapshotVerb("inspect", names[0]); code != exitDone {
				t.Error(out, errs)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	metrics := n.ask("GET", "/metrics", "", "").body
	for _, want := range []string{"holdfast_archives_total 1", "holdfast_archive_failures_total 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	for _, never := range []string{"holdfast_archive_last_success_timestamp_seconds 0\n", "holdfast_archive_bytes 0\n"} {
		if strings.Contains(metrics, never) {
			t.Errorf("%q is in the metrics", never)
		}
	}
}

func TestAScheduleThatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"--snapshot-schedule 59s --snapshot-dir x", "at least 1m0s"},
		{"--snapshot-schedule 1h", "snapshot-dir is required"},
		{"--snapshot-keep 0", "snapshot-keep 0"},
	} {
		var out, errs bytes.Buffer
		p := &program{stdout: &out, stderr: &errs}
		if code := p.main(t.Context(), append([]string{"server"}, strings.Fields(c.args)...)); code != exitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: %d %s", c.args, code, errs.String())
		}
	}
	s := &Server{cfg: Config{SnapshotSchedule: time.Hour, SnapshotDir: filepath.Join(blocked, "below")}}
	if err := s.openSchedule(); err == nil || !strings.Contains(err.Error(), "snapshot-dir") {
		t.Error(err)
	}
}
