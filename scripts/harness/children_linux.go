package harness

import "syscall"

// DiesWithParent has the kernel kill a child when the thread that started it ends. The runtime ends threads only with
// the program, or when a goroutine that is locked to one returns; nothing here locks one.
func DiesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
