package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheReserveIsGivenBackAndMadeAgainWhereItLeavesTheDiskWell(t *testing.T) {
	dir := t.TempDir()
	r := newReserve(dir, 4096, 1000, slog.New(slog.DiscardHandler))
	there := func() bool {
		stat, err := os.Stat(filepath.Join(dir, reserveFile))
		if err == nil && stat.Size() != 4096 {
			t.Errorf("a reserve of %d bytes", stat.Size())
		}
		return err == nil
	}
	r.open(1 << 40)
	if there() {
		t.Error("it was made before the node has started")
	}
	r.look(9441) // 1000 + 250 + 2 * 4096 is 9442
	if there() || r.kept.Load() {
		t.Error("it was made where there is not enough room")
	}
	for i, step := range []struct {
		free  int64
		there bool
		gave  bool
	}{
		{free: 9442, there: true},
		{free: 9000, there: true},
		{free: 250, there: true}, // low, and not yet all but full
		{free: 249, gave: true},
		{free: 249 + 4096},
		{free: 9441},
		{free: 9442, there: true},
	} {
		if gave := r.look(step.free); gave != step.gave || there() != step.there || r.kept.Load() != step.there {
			t.Errorf("step %d, %d bytes free: given back %v, there %v", i, step.free, gave, there())
		}
	}
	// The process that comes next takes it up.
	next := newReserve(dir, 4096, 1000, slog.New(slog.DiscardHandler))
	next.open(5000)
	if !next.kept.Load() {
		t.Error("a reserve that is there was not taken up")
	}
	if !next.giveBack("a test") || there() || next.giveBack("a test") || next.released.Load() != 1 {
		t.Error("it is given back once")
	}
}

func TestAReserveThatIsNotTheOneThatIsWantedGoes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, reserveFile)
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReserve(dir, 0, 1000, slog.New(slog.DiscardHandler))
	r.open(1 << 40)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no reserve is wanted, and there is one: %v", err)
	}
	full := newReserve(dir, 4096, 0, slog.New(slog.DiscardHandler))
	full.alloc = func(*os.File, int64) error { return syscall.ENOSPC }
	full.open(1 << 40)
	full.look(1 << 40)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 || full.kept.Load() {
		t.Errorf("what could not be allocated is there: %v, %v", entries, err)
	}
}

func TestAReserveTakesUpRoom(t *testing.T) {
	for name, alloc := range map[string]func(*os.File, int64) error{"allocated": allocate, "written": writeZeros} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			const size = 3<<20 + 5
			if err := alloc(file, size); err != nil {
				t.Fatal(err)
			}
			if err := file.Sync(); err != nil {
				t.Fatal(err)
			}
			stat, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if blocks := stat.Sys().(*syscall.Stat_t).Blocks * 512; stat.Size() != size || blocks < size {
				t.Errorf("%d bytes in %d on disk", stat.Size(), blocks)
			}
		})
	}
}
