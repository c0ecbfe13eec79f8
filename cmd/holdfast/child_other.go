//go:build !linux

package main

import "syscall"

// childAttributes can do nothing that every system knows: servers are stopped on every way out of dev, but outlive a
// kill -9 of it.
func childAttributes() *syscall.SysProcAttr { return nil }
