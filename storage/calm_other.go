//go:build !linux

package storage

// calmly does nothing where a thread has no priority of its own.
func calmly() {}
