//go:build linux || darwin || freebsd

package main

import "golang.org/x/sys/unix"

// freeBytes is the room that is left for this process on the disk of dir.
func freeBytes(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
