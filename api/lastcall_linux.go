package api

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// noSYN is a filter (classic BPF) that drops the segments that ask for a connection, SYN without ACK, and no others: a
// handshake that has begun is finished. The kernel shows a socket's filter each segment from its TCP header on.
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
}

// openNoMore has the kernel open no more connections for a listener; those that are open can be accepted as before. The
// kernel has no filters for multipath TCP.
func openNoMore(ln net.Listener) error {
	socket, ok := ln.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
	var attach error
	if err := raw.Control(func(fd uintptr) {
		attach = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	}); err != nil {
		return err
	}
	if attach != nil {
		return fmt.Errorf("filter new connections of %s: %w", ln.Addr(), attach)
	}
	return nil
}
