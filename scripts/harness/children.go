package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// A Child is a process that this program has started.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// Children are all processes that this program has started and that have not ended.
type Children struct {
	mu     sync.Mutex
	all    map[*Child]bool
	closed bool
}

// Start runs a command whose output goes to a file; the kernel ends it with this program where it can.
func (c *Children) Start(output *os.File, name string, args ...string) (*Child, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = output
	cmd.SysProcAttr = DiesWithParent()
	return c.Run(cmd)
}

// Run starts a command whose attributes are the caller's.
func (c *Children) Run(cmd *exec.Cmd) (*Child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("start %s: this program is ending", cmd.Path)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Child{cmd: cmd, done: make(chan struct{})}
	if c.all == nil {
		c.all = make(map[*Child]bool)
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

// Kill ends the child with SIGKILL and waits until it is gone.
func (p *Child) Kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended already
	<-p.done
}

// Terminate asks the child to end with SIGTERM and waits until it has, which must be with exit code 0. It is killed when
// ctx ends first.
func (p *Child) Terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("it did not end after SIGTERM and was killed: %w", ctx.Err())
	}
	if !p.State().Success() {
		return fmt.Errorf("it ended badly: %v", p.State())
	}
	return nil
}

// Ended says whether the child has ended by itself.
func (p *Child) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// KillAll ends every child, and lets none start from now on.
func (c *Children) KillAll() {
	c.mu.Lock()
	c.closed = true
	var all []*Child
	for p := range c.all {
		all = append(all, p)
	}
	c.mu.Unlock()
	for _, p := range all {
		p.Kill()
	}
}

// State is how the child ended.
func (p *Child) State() *os.ProcessState { return p.cmd.ProcessState }

// Imagined is a child that is no process and never ends, for tests of what deals with children.
func Imagined() *Child { return &Child{done: make(chan struct{})} }
