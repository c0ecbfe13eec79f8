//go:build !linux

package main

import "syscall"

// diesWithParent can do nothing here: children are killed on every way out, but outlive a kill -9 of this program.
func diesWithParent() *syscall.SysProcAttr { return nil }
