//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast/cluster"
)

func TestAFlippedBitUnderARunningNodeIsFoundByTheScrubAndHealed(t *testing.T) {
	c := startProcesses(t, 3)
	session := c.nodes[0].create(`{"k":"` + needle + `"}`)
	for range 20 {
		c.nodes[0].create(`{"k":"something else"}`)
	}
	for i, file := range []string{tableFile, cluster.LogFile} {
		n := c.nodes[i]
		path := filepath.Join(n.dir, file)
		var content []byte
		c.eventually("the session is in "+path, func() bool {
			raw, err := os.ReadFile(path)
			content = raw
			return err == nil && bytes.Contains(raw, []byte(needle))
		})
		n.signal(syscall.SIGUSR1)
		c.eventually("a scrub finds all whole", func() bool { return n.said("were reread and are whole") })
		flipAt(t, path, inText(needle)(content))
		n.signal(syscall.SIGUSR1)
		n.awaitFailure("run " + healCommand(n.dir))
		for _, other := range c.others(n) {
			other.reads(session, needle)
		}
		if said, err := n.heal("--yes"); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		n.start()
		n.awaitReady()
		n.reads(session, needle)
		c.converge()
		c.eventually("all nodes have a vote", func() bool { return c.nodes[0].status().FailureTolerance == 1 })
	}
}
