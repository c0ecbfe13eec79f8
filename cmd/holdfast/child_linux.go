package main

import "syscall"

// childAttributes has the kernel kill a server when dev is gone, even by kill -9: nobody would stop it then. (The signal
// comes when the thread that started the child ends; the runtime ends threads only with the program, or when a goroutine
// that is locked to one returns, and nothing here locks one.) A process group of its own keeps the terminal's Ctrl-C
// away from the server: dev alone hears it, and asks the server once.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
