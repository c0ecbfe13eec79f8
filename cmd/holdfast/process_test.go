package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// checkCounters holds every node to what was acknowledged.
func (c *processCluster) checkCounters(counters []*countingClient) {
	c.t.Helper()
	for _, w := range counters {
		for _, failure := range w.failed {
			c.t.Errorf("a request to a surviving node failed: %s", failure)
		}
		if w.acked == 0 {
			c.t.Errorf("a counter on %s never counted", w.node.id)
		}
		for _, n := range c.nodes {
			got := n.ask("GET", "/api/sessions/current/", w.session, "", "Holdfast-Consistency", "strong")
			if got.status != http.StatusOK || got.member(c.t, "session", "data", "n") != float64(w.acked) {
				c.t.Errorf("%d was acknowledged, %s says %v", w.acked, n.id, got)
			}
			// Each patch took effect once, whatever was retried: the version counts them.
			if version := got.member(c.t, "session", "version"); version != float64(w.acked+1) {
				c.t.Errorf("%d patches made version %v", w.acked, version)
			}
		}
	}
}

func TestKillingTheLeaderUnderLoadFailsNoRequestAndLosesNothing(t *testing.T) {
	c := startProcesses(t, 3)
	for range 2 {
		leader := c.leader()
		counters := c.count(c.others(leader), 4, func(progress func()) {
			progress()
			leader.kill()
			progress()
			leader.start()
			leader.awaitReady()
			progress()
		})
		c.checkCounters(counters)
		c.converge()
	}
}

func TestARollingRestartFailsNoRequest(t *testing.T) {
	c := startProcesses(t, 3)
	for i, n := range c.nodes {
		counters := c.count([]*processNode{c.nodes[(i+1)%3], c.nodes[(i+2)%3]}, 2, func(progress func()) {
			progress()
			n.stopWell()
			progress()
			n.start()
			n.awaitReady()
		})
		c.checkCounters(counters)
	}
	c.converge()
}

func TestEverythingIsThereAfterAllNodesWereKilledAtOnce(t *testing.T) {
	c := startProcesses(t, 3)
	counters := c.count(c.nodes, 2, func(progress func()) { progress() })
	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	c.checkCounters(counters)
	c.converge()
}

func TestAWipedNodeCatchesUpFromAnArchive(t *testing.T) {
	c := startProcesses(t, 3, "--snapshot-bytes", "200000", "--trailing-bytes", "100000", "--log-level", "debug")
	wiped := c.others(c.leader())[0]
	stays := c.others(wiped)[0]
	before := stays.create(`{"n":0}`)
	big := strings.Repeat("x", 32<<10)
	for range 40 { // the log is cut behind these
		stays.create(`{"big":"` + big + `"}`)
	}
	wiped.kill()
	if err := os.RemoveAll(wiped.dir); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		stays.create(`{"big":"` + big + `"}`)
	}
	c.eventually("the log has been cut", func() bool { return stays.said(`"compacting logs"`) })
	wiped.start()
	wiped.awaitReady()
	if !wiped.said(`"installed remote snapshot"`) && !wiped.said(`"Installed remote snapshot"`) {
		t.Error("the node caught up by the log alone")
	}
	if got := wiped.ask("GET", "/api/sessions/current/", before, ""); got.status != http.StatusOK {
		t.Errorf("a session from before the wipe: %v", got)
	}
	c.eventually("the wiped node has its vote again", func() bool {
		for _, m := range stays.status().Members {
			if m.ID == wiped.id {
				return m.Voter && m.Healthy
			}
		}
		return false
	})
	c.converge()
	// Its vote counts: with another node gone the two of them go on.
	c.others(wiped)[1].kill()
	if got := wiped.ask("PATCH", "/api/sessions/current/", before, `{"n":1}`); got.status != http.StatusOK {
		t.Errorf("two of three, one of them wiped before: %v", got)
	}
}

func TestANodeThatIsCutOffRefusesAfterMaxStaleness(t *testing.T) {
	c := startProcesses(t, 3, "--max-staleness", "2s", "--request-timeout", "1s")
	session := c.nodes[0].create(`{"n":0}`)
	patched := c.nodes[0].ask("PATCH", "/api/sessions/current/", session, `{"n":1}`)
	cut := c.others(c.leader())[0]
	if got := cut.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Index", patched.index); got.status != http.StatusOK {
		t.Fatal(got)
	}
	for _, n := range c.others(cut) {
		n.signal(syscall.SIGSTOP)
	}
	c.eventually("the node is not ready any more", func() bool {
		return cut.ask("GET", "/readyz", "", "").status == http.StatusServiceUnavailable
	})
	for _, headers := range [][]string{nil, {"Holdfast-Index", patched.index}, {"Holdfast-Consistency", "strong"}} {
		got := cut.ask("GET", "/api/sessions/current/", session, "", headers...)
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("cut off, asked with %v: %v", headers, got)
		}
	}
	// Its own trouble is never a 401, nor a 404.
	unknown := "Session " + "hfs_01890000-0000-7000-8000-000000000000." + strings.Repeat("A", 43)
	if got := cut.ask("GET", "/api/sessions/current/", unknown, ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("cut off, asked for a session that it does not know: %v", got)
	}
	if got := cut.ask("PATCH", "/api/sessions/current/", session, `{"n":2}`); got.status != http.StatusServiceUnavailable {
		t.Errorf("a write on a node that is cut off: %v", got)
	}
	for _, n := range c.others(cut) {
		n.signal(syscall.SIGCONT)
	}
	cut.awaitReady()
	c.eventually("it serves again", func() bool {
		return cut.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Index", patched.index).status == http.StatusOK
	})
	c.converge()
}

// A leader that was stopped and goes on believes that it leads. What it says must be proved anew.
func TestALeaderThatWasPausedServesNothingStale(t *testing.T) {
	c := startProcesses(t, 3)
	session := c.nodes[0].create(`{"n":0}`)
	for round := range 3 {
		old := c.leader()
		rest := c.others(old)
		old.signal(syscall.SIGSTOP)
		want := fmt.Sprintf(`{"n":%d}`, round+1)
		if got := rest[0].ask("PATCH", "/api/sessions/current/", session, want); got.status != http.StatusOK {
			t.Fatal(got)
		}
		old.signal(syscall.SIGCONT)
		got := old.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong")
		if got.status == http.StatusOK && got.member(t, "session", "data", "n") != float64(round+1) {
			t.Errorf("the leader of old served a value of old: %v", got)
		}
		if got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
			t.Error(got)
		}
	}
	gone := c.nodes[1].ask("DELETE", "/api/sessions/current/", session, "")
	if gone.status != http.StatusNoContent {
		t.Fatal(gone)
	}
	for _, n := range c.nodes {
		if got := n.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong"); got.status != http.StatusUnauthorized {
			t.Errorf("logged out: %v", got)
		}
	}
}

func TestANewKeyCountsAfterSIGHUPAndTheDifferenceBetweenNodesIsSeen(t *testing.T) {
	c := startProcesses(t, 3)
	create := exec.Command("holdfast", "keys", "create", "--keys-file", c.files.keys(), "--role", "service", "--name", "late")
	said, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	key := "Bearer " + strings.TrimSpace(string(said))
	stats := func(n *processNode) int { return n.ask("GET", "/api/stats/", key, "").status }
	if got := stats(c.nodes[0]); got != http.StatusUnauthorized {
		t.Errorf("before SIGHUP: %d", got)
	}
	c.nodes[0].signal(syscall.SIGHUP)
	c.eventually("the first node knows the key", func() bool { return stats(c.nodes[0]) == http.StatusOK })
	if !keysDiffer(c.nodes[1].status()) {
		t.Error("two nodes have read different keys, and none tells")
	}
	for _, n := range c.nodes[1:] {
		n.signal(syscall.SIGHUP)
	}
	for _, n := range c.nodes {
		c.eventually(n.id+" knows the key", func() bool { return stats(n) == http.StatusOK })
	}
	if keysDiffer(c.nodes[1].status()) {
		t.Error("all nodes have read the same keys, and one says otherwise")
	}
}
