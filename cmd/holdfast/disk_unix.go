//go:build linux || darwin || freebsd

package main

import "golang.org/x/sys/unix"

// freeBytes is the room that is left for this process on the disk of dir.
func freeBytes(dir string) (int64, error) {
	free, _, err := diskSpace(dir)
	return free, err
}

// diskSpace is freeBytes and the size of the disk.
func diskSpace(dir string) (free, size int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil
}
