package main

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// syncData makes what was written to file durable, as the log does it.
func syncData(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }

// clockState asks the kernel whether something keeps this machine's clock right, and how wrong it may be at most.
func clockState() (synchronised bool, mayBeOff time.Duration, err error) {
	var state unix.Timex // modes 0: nothing is set
	status, err := unix.Adjtimex(&state)
	if err != nil {
		return false, 0, err
	}
	return status != unix.TIME_ERROR && state.Status&unix.STA_UNSYNC == 0, time.Duration(state.Maxerror) * time.Microsecond, nil
}

// openFileLimit is how many files this process may ask for.
func openFileLimit() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err // the runtime raises its own limit as far as this
}

// inodes says how many files the disk of dir may still hold, of how many. A disk that does not count says 0 of 0.
func inodes(dir string) (free, all uint64, err error) {
	var stat unix.Statfs_t
	err = unix.Statfs(dir, &stat)
	return stat.Ffree, stat.Files, err
}

// ownerOf is the user whose file it is.
func ownerOf(stat fs.FileInfo) (uid int, known bool) {
	if raw, ok := stat.Sys().(*syscall.Stat_t); ok {
		return int(raw.Uid), true
	}
	return 0, false
}

func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
