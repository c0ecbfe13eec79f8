package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// A child is a process that this program has started.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// children are all processes that this program has started and that have not ended.
type children struct {
	mu     sync.Mutex
	all    map[*child]bool
	closed bool
}

// start runs a command whose output goes to a file; the kernel ends it with this program where it can.
func (c *children) start(output *os.File, name string, args ...string) (*child, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = output
	cmd.SysProcAttr = diesWithParent()
	return c.run(cmd)
}

func (c *children) run(cmd *exec.Cmd) (*child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("start %s: this program is ending", cmd.Path)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &child{cmd: cmd, done: make(chan struct{})}
	if c.all == nil {
		c.all = make(map[*child]bool)
	}
	c.all[p] = true
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.done)
		c.mu.Lock()
		delete(c.all, p)
		c.mu.Unlock()
	}()
	return p, nil
}

// kill ends the child with SIGKILL and waits until it is gone.
func (p *child) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended already
	<-p.done
}

// ended says whether the child has ended by itself.
func (p *child) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killAll ends every child, and lets none start from now on.
func (c *children) killAll() {
	c.mu.Lock()
	c.closed = true
	var all []*child
	for p := range c.all {
		all = append(all, p)
	}
	c.mu.Unlock()
	for _, p := range all {
		p.kill()
	}
}
