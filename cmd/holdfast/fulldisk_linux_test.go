package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisks gives each node that has not started yet a disk of its own.
func (c *processCluster) smallDisks(options string) {
	c.t.Helper()
	for _, n := range c.nodes {
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", n.dir, "tmpfs", 0, options); err != nil {
			c.t.Skipf("NOT CHECKED: full disks of real nodes: mounting one is for root: %v. "+
				"What a node does at which figure is checked by the tests of disk and reserve", err)
		}
		c.t.Cleanup(func() {
			n.kill()
			if err := unix.Unmount(n.dir, 0); err != nil {
				c.t.Error(err)
			}
		})
	}
}

// leave fills a node's disk until only so many bytes are free. It returns what makes room again.
func (n *processNode) leave(free int64) (makeRoom func()) {
	t := n.cluster.t
	t.Helper()
	path := filepath.Join(n.dir, "ballast")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	now, err := freeBytes(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	// The node writes meanwhile: what was free may be so no more.
	for take := now - free; unix.Fallocate(int(file.Fd()), 0, stat.Size(), take) != nil; take -= 64 << 10 {
		if take < 0 {
			t.Fatalf("the disk of %s cannot be filled", n.id)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func (n *processNode) diskCheckFails() bool {
	got, err := n.request("GET", "/readyz?verbose", "", "")
	return err == nil && got.status == http.StatusServiceUnavailable && strings.Contains(got.body, `{"name":"disk","ok":false`)
}

func (n *processNode) hasReserve() bool {
	_, err := os.Stat(filepath.Join(n.dir, reserveFile))
	return err == nil
}

func TestANearlyFullDiskRefusesGrowthLetsLogoutsPassAndGivesLeadershipAway(t *testing.T) {
	c := newProcesses(t, 3, "--disk-low-bytes", "8388608", "--disk-reserve-bytes", "2097152")
	c.smallDisks("size=48m,mode=0700")
	c.startAll()
	service := "Bearer " + c.service
	full := c.leader()
	session := func() string { return c.others(full)[0].create(`{"n":0}`) }
	first, second, third := session(), session(), session()
	create := func(n *processNode) answer {
		return n.ask("POST", "/api/sessions/create/", service, `{"user_id":"alice","data":{}}`)
	}
	logsOut := func(n *processNode, session string) {
		t.Helper()
		if got := n.ask("DELETE", "/api/sessions/current/", session, ""); got.status != http.StatusNoContent {
			t.Errorf("a logout on a full disk: %v", got)
		}
		if got := n.ask("POST", "/api/sessions/invalidate-all/", service, `{"user_id":"alice"}`); got.status != http.StatusOK {
			t.Errorf("log out everywhere on a full disk: %v", got)
		}
	}
	for _, n := range c.nodes {
		c.eventually(n.id+" has a reserve", n.hasReserve)
	}

	makeRoom := full.leave(6 << 20)
	c.eventually("the node says that its disk is full", full.diskCheckFails)
	if got := create(full); got.status != http.StatusInsufficientStorage || got.member(t, "code") != "disk_low" {
		t.Errorf("a login on a full disk: %v", got)
	}
	c.eventually("somebody else leads", func() bool { return c.leader() != full })
	logsOut(full, first)
	if got := create(c.others(full)[0]); got.status != http.StatusCreated {
		t.Errorf("a login on a node with room: %v", got)
	}

	full.leave(1 << 20)
	c.eventually("the reserve is given back", func() bool { return full.said("the reserve was given back") && !full.hasReserve() })
	logsOut(full, second)

	// Where no disk has room somebody leads all the same.
	rooms := []func(){makeRoom}
	for _, n := range c.others(full) {
		rooms = append(rooms, n.leave(5<<20))
		c.eventually(n.id+" says that its disk is full", n.diskCheckFails)
	}
	if got := create(c.others(full)[1]); got.status != http.StatusInsufficientStorage {
		t.Errorf("a login where all disks are full: %v", got)
	}
	logsOut(c.leader(), third)

	for _, more := range rooms {
		more()
	}
	for _, n := range c.nodes {
		n.awaitReady()
		if got := create(n); got.status != http.StatusCreated {
			t.Errorf("a login on %s after there was room again: %v", n.id, got)
		}
		c.eventually(n.id+" has its reserve again", n.hasReserve)
	}
	c.converge()
}

// What happens where the disk is really full, without a mark that would have warned: the node ends and says why, its
// reserve makes room for its next start, and nothing that was acknowledged is lost.
func TestADiskThatIsFullEndsTheNodeAndItsReserveLetsItStartAgain(t *testing.T) {
	c := newProcesses(t, 3, "--disk-low-bytes", "0", "--disk-reserve-bytes", "4194304")
	c.smallDisks("size=64m,mode=0700")
	c.startAll()
	full := c.leader()
	c.eventually("there is a reserve", full.hasReserve)
	counters := c.count(c.others(full), 2, func(progress func()) {
		progress()
		full.leave(0)
		full.awaitFailure("no space left on device")
		c.eventually("somebody else leads", func() bool { return c.leader() != full })
	})
	if !full.said("the reserve was given back") {
		t.Error("the reserve was kept")
	}
	full.start()
	full.awaitReady()
	c.checkCounters(counters)
	c.converge()
}
