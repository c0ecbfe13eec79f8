//go:build unix

package pki

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// checkMode refuses files that others may read or write. A pipe or a device, as
// a shell's process substitution makes one, has no mode that says anything.
func checkMode(mode fs.FileMode) error {
	if mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return errors.New("may be read by others than its owner")
	}
	return nil
}

// keepOwner gives next the owner of the file whose place it takes: root may have
// started what an account of its own will read.
func keepOwner(next *os.File, old fs.FileInfo) error {
	stat, ok := old.Sys().(*syscall.Stat_t)
	if !ok || (int(stat.Uid) == os.Geteuid() && int(stat.Gid) == os.Getegid()) {
		return nil
	}
	return next.Chown(int(stat.Uid), int(stat.Gid))
}
