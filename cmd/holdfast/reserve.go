package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
)

// reserveFile is the name of the reserve in the data directory.
const reserveFile = "reserve"

// reserve is a file that holds nothing but room. A disk may fill up by what others write, past the mark at which this
// node refuses growth; then the file is given back, so that logouts, the log and the flushes have something to go on
// with until the operator has made room. It is really allocated, or it would be no reserve.
//
//	        free >= mark + mark/4 + 2 size
//	none ───────────────────────────────▶ kept
//	     ◀───────────────────────────────
//	        free < mark/4, or a write found no room
//
// It is made only where the disk does not become low by it: the reserve is never the reason for which logins are
// refused.
type reserve struct {
	path  string
	size  int64 // bytes; 0 is no reserve
	mark  int64 // bytes below which the disk is low
	log   *slog.Logger
	alloc func(file *os.File, size int64) error

	kept     atomic.Bool
	released atomic.Uint64
	said     bool // that there is no room for it
}

func newReserve(dir string, size, mark int64, log *slog.Logger) *reserve {
	return &reserve{path: filepath.Join(dir, reserveFile), size: size, mark: mark, log: log, alloc: allocate}
}

// open takes up what is there, and gives it back where there is no room; a file of another size goes. It makes nothing:
// that is for a node that has started.
func (r *reserve) open(free int64) {
	stat, err := os.Stat(r.path)
	if err == nil && stat.Size() == r.size && r.size > 0 {
		r.kept.Store(true)
	} else if err == nil {
		if err := os.Remove(r.path); err != nil {
			r.log.Warn("the reserve could not be removed", "error", err)
		}
	}
	if r.kept.Load() && free < r.critical() {
		r.giveBack("the disk is all but full")
	}
}

// critical is below how many free bytes the reserve is given back.
func (r *reserve) critical() int64 { return max(r.mark/4, 1) }

// needed is at how many free bytes it is made: afterwards the disk is well, and stays so for a while.
func (r *reserve) needed() int64 { return r.mark + r.mark/4 + 2*r.size }

// look gives the reserve back, or makes it, by what is free now, and returns whether it gave it back.
func (r *reserve) look(free int64) (gave bool) {
	switch {
	case r.size == 0:
	case r.kept.Load() && free < r.critical():
		return r.giveBack("the disk is all but full")
	case !r.kept.Load() && free >= r.needed():
		r.said = false
		if err := r.make(); err != nil {
			r.log.Warn("the reserve could not be made", "error", err)
			return false
		}
		r.kept.Store(true)
		r.log.Info("room is reserved on the disk", "bytes", r.size)
	case !r.kept.Load() && !r.said:
		r.said = true
		r.log.Warn("there is not enough room for the reserve", "free_bytes", free, "needed_bytes", r.needed())
	}
	return false
}

// giveBack makes room at once. It is safe to call at any time, from any goroutine.
func (r *reserve) giveBack(why string) bool {
	if !r.kept.CompareAndSwap(true, false) {
		return false
	}
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("the reserve could not be given back", "error", err)
		return false
	}
	r.released.Add(1)
	r.log.Error("the reserve was given back: make room on the disk", "reason", why, "bytes", r.size)
	return true
}

// make allocates the file beside and renames it, so that a file of the right name is a whole one.
func (r *reserve) make() (err error) {
	beside := r.path + ".new"
	file, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(r.alloc(file, r.size), file.Close()); err == nil {
		err = os.Rename(beside, r.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("allocate %d bytes: %w", r.size, err), os.Remove(beside))
	}
	return nil
}

// writeZeros takes up room, where the system cannot allocate room otherwise.
func writeZeros(file *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for ; size > 0; size -= int64(len(zeros)) {
		if _, err := file.Write(zeros[:min(size, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}
