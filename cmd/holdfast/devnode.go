package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// devNode is one server that dev keeps running.
type devNode struct {
	cluster          *devCluster
	id, httpAddr     string
	program          string
	args             []string
	logPath, pidPath string
	wasReady         atomic.Bool // it has been ready once: if it dies now, it is started again

	mu      sync.Mutex
	process *os.Process   // nil while it does not run
	gone    chan struct{} // closed when process has ended
	pause   time.Duration // before the next start, if chaos killed it
}

func newDevNode(c *devCluster, program string, i int) *devNode {
	id := fmt.Sprintf("n%d", i+1)
	n := &devNode{
		cluster: c, id: id, program: program, httpAddr: loopback(c.port(devPort, i)),
		logPath: filepath.Join(c.files.dir, id+".log"), pidPath: filepath.Join(c.files.dir, id+".pid"),
	}
	n.args = []string{
		"server", "--node-id", id, "--data-dir", filepath.Join(c.files.dir, id),
		"--http-addr", n.httpAddr,
		"--cluster-addr", loopback(c.port(devClusterPort, i)),
		"--gossip-addr", loopback(c.port(devGossipPort, i)),
		"--join", c.join(), "--bootstrap-expect", strconv.Itoa(c.flags.nodes),
		"--cluster-key-file", c.files.clusterKey(), "--keys-file", c.files.keys(),
		"--jwt-issuer", devIssuer, "--jwt-audience", devAudience, "--jwt-jwks-file", c.files.jwks(),
		"--trusted-proxies", "127.0.0.1/32", "--insecure-cookies", "--drain-timeout", "3s",
		"--drain-wait", "0s", // dev stops all of them at once: there is no other to turn to
	}
	return n
}

// supervise keeps the server running until ctx ends. Its error is that of a server that never became ready.
func (n *devNode) supervise(ctx context.Context) error {
	log, err := os.OpenFile(n.logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	for {
		state, err := n.runOnce(ctx, log)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New(state.String())
		}
		if !n.wasReady.Load() {
			return fmt.Errorf("%s ended before it was ready (%w)\n%s", n.id, err, n.lastWords())
		}
		wait, wanted := n.restartPause()
		if !wanted {
			n.cluster.term.say("%s died (%v); it starts again in %s", n.id, err, wait)
		}
		if state != nil && state.Exited() { // by itself: then it has said why
			n.cluster.term.say("%s", n.lastWords())
		}
		if !pause(ctx, wait) {
			return nil
		}
		if !wanted {
			n.cluster.term.say("%s starts again", n.id)
		}
	}
}

// runOnce starts the server and waits for its end. When ctx ends it asks the server to drain, and kills it if that
// takes too long.
func (n *devNode) runOnce(ctx context.Context, log *os.File) (*os.ProcessState, error) {
	cmd := exec.Command(n.program, n.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutOurs(os.Environ())
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	n.setProcess(cmd.Process, ended)
	defer n.setProcess(nil, nil)
	if err := os.WriteFile(n.pidPath, fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil {
		n.cluster.term.say("%s: %v", n.id, err)
	}
	defer os.Remove(n.pidPath)
	go func() {
		_ = cmd.Wait() // ProcessState says how it ended
		close(ended)
	}()
	select {
	case <-ended:
		return cmd.ProcessState, nil
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	limit := time.NewTimer(devStopTime)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		n.cluster.term.say("%s did not stop within %s and is killed", n.id, devStopTime)
		_ = cmd.Process.Kill()
		<-ended
	}
	return cmd.ProcessState, nil
}

func (n *devNode) setProcess(process *os.Process, gone chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process, n.gone = process, gone
}

// kill ends the server with SIGKILL, to be started again after wait, and returns when it is gone. It says whether there
// was one.
func (n *devNode) kill(wait time.Duration) bool {
	n.mu.Lock()
	gone := n.gone
	if n.process == nil || n.process.Kill() != nil {
		n.mu.Unlock()
		return false
	}
	n.pause = wait
	n.mu.Unlock()
	<-gone
	return true
}

// restartPause is how long to wait before the next start, and whether it was chaos that wanted it.
func (n *devNode) restartPause() (wait time.Duration, wanted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait = n.pause
	n.pause = 0
	if wait == 0 {
		return devRestartPause, false
	}
	return wait, true
}

func (n *devNode) ready(ctx context.Context) bool { return answersOK(ctx, n.httpAddr, "/readyz") }
func (n *devNode) leads(ctx context.Context) bool { return answersOK(ctx, n.httpAddr, "/leaderz") }

// answersOK says whether a health page answers 200 within a second.
func answersOK(ctx context.Context, addr, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return false
	}
	response, err := askClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// lastWords quotes the end of the server's log, each line with the server's name before it.
func (n *devNode) lastWords() string {
	const lines, size = 5, 8 << 10
	file, err := os.Open(n.logPath)
	if err != nil {
		return n.id + "| " + err.Error()
	}
	defer file.Close()
	if stat, err := file.Stat(); err == nil && stat.Size() > size {
		_, _ = file.Seek(-size, 2)
	}
	raw := make([]byte, size)
	got, _ := file.Read(raw)
	tail := bytes.Split(bytes.TrimSpace(raw[:got]), []byte("\n"))
	tail = tail[max(0, len(tail)-lines):]
	for i, line := range tail {
		tail[i] = append([]byte(n.id+"| "), line...)
	}
	return string(bytes.Join(tail, []byte("\n")))
}

// withoutOurs keeps dev's own environment from changing what the servers are told.
func withoutOurs(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if len(variable) < len(envPrefix) || variable[:len(envPrefix)] != envPrefix {
			kept = append(kept, variable)
		}
	}
	return kept
}
