//go:build !linux && !darwin && !freebsd

package main

import (
	"io"
	"os"
)

// lockDir leaves it to the locks of the files that one process works in a data directory.
func lockDir(dir string) (io.Closer, error) { return os.Open(dir) }
