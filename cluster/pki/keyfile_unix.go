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
func checkMode(file fs.FileInfo) error {
	stat, ok := file.Sys().(*syscall.Stat_t)
	if file.Mode().IsRegular() && !private(file.Mode(), ok && stat.Uid == 0, os.Geteuid() == 0) {
		return errors.New("may be read by others than its owner")
	}
	return nil
}

// private says whether a mode keeps a file from others. A file of root's that is
// handed to an account of its own is read through its group, and can be in no
// other way where the account must not own it: Kubernetes and Docker mount
// secrets so, and PostgreSQL has the same rule for its key.
func private(mode fs.FileMode, ofRoot, asRoot bool) bool {
	others := fs.FileMode(0o077)
	if ofRoot && !asRoot {
		others = 0o037
	}
	return mode.Perm()&others == 0
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
