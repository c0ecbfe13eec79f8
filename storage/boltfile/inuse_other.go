//go:build !linux && !darwin && !freebsd

package boltfile

// InUse cannot be told here before bbolt opens the file.
func InUse(string) bool { return false }
