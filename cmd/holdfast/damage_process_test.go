package main

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/cluster"
)

// needle is what a test looks for in files.
const needle = "a-needle-in-a-haystack"

// flipAt changes one bit of a file at each of the places.
func flipAt(t *testing.T, path string, places []int64) {
	t.Helper()
	if len(places) == 0 {
		t.Fatalf("there is nothing to flip in %s", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, at := range places {
		b := make([]byte, 1)
		if _, err := file.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := file.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
}

// Where to flip a bit. A value may be in several pages, of which one counts: free pages keep what they had.

func inText(text string) func(file []byte) []int64 {
	return func(file []byte) (places []int64) {
		for from := 0; ; {
			i := bytes.Index(file[from:], []byte(text))
			if i < 0 {
				return places
			}
			places = append(places, int64(from+i+len(text)/2))
			from += i + len(text)
		}
	}
}

// inPageOf flips a byte of the header of each page that holds the needle.
func inPageOf(offset int64) func(file []byte) []int64 {
	return func(file []byte) (places []int64) {
		for _, at := range inText(needle)(file) {
			size := int64(os.Getpagesize())
			places = append(places, at/size*size+offset)
		}
		return slices.Compact(places)
	}
}

// inNewerMeta flips a bit of the meta page that bbolt would take.
func inNewerMeta(file []byte) []int64 {
	size := os.Getpagesize()
	txid := func(page int) uint64 { return binary.NativeEndian.Uint64(file[page*size+16+48:]) }
	if txid(0) > txid(1) {
		return []int64{16 + 17}
	}
	return []int64{int64(size) + 16 + 17}
}

func (n *processNode) heal(extra ...string) (said string, err error) {
	out, err := exec.Command("holdfast", append([]string{"heal", "--data-dir", n.dir}, extra...)...).CombinedOutput()
	return string(out), err
}

// awaitFailure waits for the end of a process that takes itself out of service, and checks what it says.
func (n *processNode) awaitFailure(want string) {
	n.cluster.t.Helper()
	err := n.process.Wait()
	code := n.process.ProcessState.ExitCode()
	n.process = nil
	if err == nil || code != exitFailed {
		n.cluster.t.Errorf("%s ended with code %d: %v", n.id, code, err)
	}
	if !n.said(want) {
		n.cluster.t.Errorf("%s does not say %q", n.id, want)
	}
}

// reads checks that a node has what was acknowledged.
func (n *processNode) reads(session, want string) {
	n.cluster.t.Helper()
	got := n.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong")
	if got.status != http.StatusOK || got.member(n.cluster.t, "session", "data", "k") != want {
		n.cluster.t.Errorf("%s: %v, want %q", n.id, got, want)
	}
}

func TestAFlippedBitInAnyFileOfAStoppedNodeIsFoundAndHealedByOneCommand(t *testing.T) {
	c := startProcesses(t, 3)
	session := c.nodes[0].create(`{"k":"` + needle + `"}`)
	for i, test := range []struct {
		name, file string
		where      func(file []byte) []int64
		harmless   bool
	}{
		{name: "a value of the table", file: tableFile, where: inText(needle)},
		{name: "a page's number in the table", file: tableFile, where: inPageOf(0)},
		{name: "a page's count in the table", file: tableFile, where: inPageOf(10)},
		// The other one is a flush older, and the log brings the rest.
		{name: "a meta page of the table", file: tableFile, where: inNewerMeta, harmless: true},
		{name: "an entry of the log", file: cluster.LogFile, where: inText(needle)},
		{name: "a page's number in the log", file: cluster.LogFile, where: inPageOf(0)},
		{name: "a page's count in the log", file: cluster.LogFile, where: inPageOf(10)},
		{name: "a meta page of the log", file: cluster.LogFile, where: inNewerMeta},
		{name: "the term", file: cluster.LogFile, where: inText("CurrentTerm")},
		{name: "who the node is", file: cluster.IdentityFile, where: inText(`"node_id"`)},
		{name: "whose the node is", file: cluster.IdentityFile, where: inText(`"cluster": "`)},
		{name: "where the others are", file: cluster.PeersFile, where: inText(`"gossip_addr"`), harmless: true},
	} {
		n := c.nodes[i%3]
		n.stopWell()
		path := filepath.Join(n.dir, test.file)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipAt(t, path, test.where(content))
		n.start()
		if test.harmless {
			n.awaitReady()
		} else {
			n.awaitFailure("run " + healCommand(n.dir))
			n.start() // and again: it does not come back by itself
			n.awaitFailure("took itself out of service")
			for _, other := range c.others(n) {
				other.reads(session, needle)
			}
			if said, err := n.heal("--yes"); err != nil {
				t.Fatalf("%s: %v: %s", test.name, err, said)
			}
			n.start()
			n.awaitReady()
		}
		n.reads(session, needle)
		c.converge()
		c.eventually("all nodes have a vote", func() bool { return c.nodes[0].status().FailureTolerance == 1 })
		if t.Failed() {
			t.Fatalf("so much for %s", test.name)
		}
	}
}

func TestHealSaysWhatItWouldDoAndKeepsWhatItIsToldTo(t *testing.T) {
	c := startProcesses(t, 3)
	session := c.nodes[0].create(`{"k":"` + needle + `"}`)
	n := c.nodes[1]
	if said, err := n.heal("--yes", "--force"); err == nil || !strings.Contains(said, errDirInUse.Error()) {
		t.Errorf("while the node runs: %v: %s", err, said)
	}
	n.stopWell()
	if said, err := n.heal("--yes"); err == nil || !strings.Contains(said, "nothing is known to be damaged") {
		t.Errorf("a whole node: %v: %s", err, said)
	}
	path := filepath.Join(n.dir, tableFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipAt(t, path, inText(needle)(content))
	for range 2 {
		said, err := n.heal()
		if err != nil || !strings.Contains(said, "nothing was changed: give --yes") || !strings.Contains(said, "n1, n3") {
			t.Errorf("without --yes: %v: %s", err, said)
		}
	}
	said, err := n.heal("--yes", "--keep")
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	kept, err := filepath.Glob(filepath.Join(n.dir, "damaged-*", tableFile))
	if err != nil || len(kept) != 1 {
		t.Errorf("%v, %v", kept, err)
	}
	n.start()
	n.awaitReady()
	n.reads(session, needle)
	c.converge()
}

func TestTheOnlyNodeIsNotHealedByMistake(t *testing.T) {
	c := startProcesses(t, 1)
	n := c.nodes[0]
	n.create(`{"k":"` + needle + `"}`)
	n.stopWell()
	path := filepath.Join(n.dir, cluster.LogFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipAt(t, path, inText(needle)(content))
	n.start()
	n.awaitFailure("run " + healCommand(n.dir))
	if said, err := n.heal("--yes"); err == nil || !strings.Contains(said, "healing would lose every session") {
		t.Errorf("%v: %s", err, said)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if said, err := n.heal("--yes", "--lose-everything"); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	n.start()
	n.awaitReady()
}
