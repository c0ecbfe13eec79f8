//go:build linux || darwin || freebsd

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockDir makes sure that one process works in a data directory: a file that a verb has replaced would go on being
// written to by a server that opened it before. It holds until the result is closed. A file system that locks no
// directories leaves it to the locks of the files.
func lockDir(dir string) (io.Closer, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, errDirInUse), file.Close())
	}
	return file, nil
}
