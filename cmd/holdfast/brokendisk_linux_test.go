package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

// inject has strace change what the kernel answers a running node that syncs one of its files. It returns once that is
// in force; the result ends it.
func (n *processNode) inject(file, fault string) (end func()) {
	t := n.cluster.t
	t.Helper()
	cmd := exec.Command(needed.Program(t, "strace"), "-f", "-p", strconv.Itoa(n.process.Process.Pid),
		"-P", filepath.Join(n.dir, file), "-o", filepath.Join(filepath.Dir(n.log), "strace.log"),
		"-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:"+fault)
	cmd.SysProcAttr = childAttributes()
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // fails only if it has ended with the node
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			return end
		}
		if strings.Contains(lines.Text(), "not permitted") {
			t.Skip("NOT CHECKED: a failing disk of a real node: strace may not attach here: ", lines.Text())
		}
	}
	t.Fatalf("strace does not attach: %v", lines.Err())
	return nil
}

// endsWhileLeading breaks the leader's disk under load, and checks that the others go on within the given time, that it
// ends with a reason, and that nothing that was acknowledged is lost.
func endsWhileLeading(t *testing.T, file, fault, reason string, within time.Duration, flags ...string) {
	c := startProcesses(t, 3, flags...)
	leader := c.leader()
	rest := c.others(leader)
	counters := c.count(rest, 2, func(progress func()) {
		progress()
		mended := leader.inject(file, fault)
		began := time.Now()
		c.eventually("somebody else leads", func() bool {
			for _, n := range rest {
				if answersOK(t.Context(), strings.TrimPrefix(n.url, "http://"), "/leaderz") {
					return true
				}
			}
			return false
		})
		took := time.Since(began)
		t.Logf("%s with %s: another leader after %s", file, fault, took.Round(time.Millisecond))
		if took > within {
			t.Errorf("another leader only after %s, want %s", took, within)
		}
		// No process ends while a call of its hangs in the kernel: it has done all that it can when it has said so.
		c.eventually("the node gives up", func() bool { return leader.said(`"msg":"failed"`) })
		t.Logf("the node has given up after %s", time.Since(began).Round(time.Millisecond))
		mended()
		leader.awaitFailure(reason)
		progress()
	})
	leader.start()
	leader.awaitReady()
	c.checkCounters(counters)
	c.converge()
}

func TestAnInputOutputErrorOfASyncEndsTheNode(t *testing.T) {
	for _, file := range []string{cluster.LogFile, tableFile} {
		t.Run(file, func(t *testing.T) {
			// The table is flushed once a second.
			endsWhileLeading(t, file, "error=EIO:when=1", "input/output error", 4*time.Second)
		})
	}
}

func TestTheWatchdogEndsANodeWhoseDiskHangs(t *testing.T) {
	const timeout = 2 * time.Second
	for file, within := range map[string]time.Duration{
		cluster.LogFile: timeout + 2*time.Second,
		tableFile:       flushPatience*timeout + 4*time.Second, // a flush a second, and the watch looks once a second
	} {
		t.Run(file, func(t *testing.T) {
			endsWhileLeading(t, file, "delay_enter=60000000", "has not finished within", within, "--disk-timeout", timeout.String())
		})
	}
}
