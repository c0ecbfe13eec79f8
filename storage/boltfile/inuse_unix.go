//go:build linux || darwin || freebsd

package boltfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// InUse says whether a process has bbolt's lock on the file.
func InUse(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() // which lets go of the lock
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
