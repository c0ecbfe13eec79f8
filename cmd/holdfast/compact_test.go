package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/cluster"
)

func TestCompactMakesTheFilesOfAStoppedNodeSmallAndLosesNothing(t *testing.T) {
	c := startProcesses(t, 3, "--snapshot-bytes", "200000", "--trailing-bytes", "100000")
	n := c.nodes[1]
	kept := n.create(`{"k":"` + needle + `"}`)
	big := strings.Repeat("x", 32<<10)
	var gone []string
	for range 60 {
		gone = append(gone, n.create(`{"big":"`+big+`"}`))
	}
	compact := func() (string, error) {
		said, err := exec.Command("holdfast", "compact", "--data-dir", n.dir).CombinedOutput()
		return string(said), err
	}
	sizes := func() (all int64) {
		for _, name := range []string{tableFile, cluster.LogFile} {
			stat, err := os.Stat(filepath.Join(n.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all += stat.Size()
		}
		return all
	}
	if said, err := compact(); err == nil || !strings.Contains(said, errDirInUse.Error()) {
		t.Errorf("while the node runs: %v: %s", err, said)
	}
	for _, session := range gone {
		n.ask("DELETE", "/api/sessions/current/", session, "")
	}
	n.stopWell()
	before := sizes()
	said, err := compact()
	if err != nil || !strings.Contains(said, "table.db: ") || !strings.Contains(said, "raft.db: ") {
		t.Fatalf("%v: %s", err, said)
	}
	if after := sizes(); after > before/2 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	t.Log(said)
	// What a compaction that was killed leaves does not stay.
	left := filepath.Join(n.dir, tableFile+".compact")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.awaitReady()
	n.reads(kept, needle)
	if _, err := os.Stat(left); err == nil {
		t.Error("the rest of a compaction is still there")
	}
	c.converge()
	n.stopWell()
	if err := writeMarker(n.dir, marker{Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	if said, err := compact(); err == nil || !strings.Contains(said, healCommand(n.dir)) {
		t.Errorf("a damaged node: %v: %s", err, said)
	}
}

func TestAFileIsWorthACompactionWhereMuchOfItIsFree(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		size, free int64
		worth      bool
	}{{100 * mib, 90 * mib, false}, {1000 * mib, 300 * mib, false}, {600 * mib, 299 * mib, false}, {600 * mib, 301 * mib, true}} {
		if worthCompacting(c.size, c.free) != c.worth {
			t.Errorf("%d of %d free: %v", c.free, c.size, !c.worth)
		}
	}
}
