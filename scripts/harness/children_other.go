//go:build !linux

package harness

import "syscall"

// DiesWithParent can do nothing here: children are killed on every way out, but outlive a kill -9 of this program.
func DiesWithParent() *syscall.SysProcAttr { return nil }
