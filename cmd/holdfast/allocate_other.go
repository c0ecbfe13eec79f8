//go:build !linux

package main

import "os"

// allocate gives the file room on the disk.
func allocate(file *os.File, size int64) error { return writeZeros(file, size) }
