package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sessions is how many a node counts, with a strong read.
func (n *processNode) sessions() float64 {
	got, err := n.request("GET", "/api/stats/?consistency=strong", "Bearer "+n.cluster.service, "")
	if err != nil || got.status != http.StatusOK {
		return -1
	}
	count, _ := got.member(n.cluster.t, "sessions").(float64)
	return count
}

// operated waits until the cluster has the feature level of restores.
func (c *processCluster) operated() *processCluster {
	c.t.Helper()
	c.eventually("the feature level is that of restores", func() bool { return c.nodes[0].status().FeatureLevel >= 2 })
	return c
}

// The node that restores is killed in the middle. Whoever gets the same archive next goes on from there, exactly.
func TestARestoreWhoseNodeIsKilledGoesOnThroughAnother(t *testing.T) {
	const sessions = 400
	source := startProcesses(t, 1)
	var tokens []string
	for i := range sessions {
		tokens = append(tokens, source.nodes[0].create(fmt.Sprintf(`{"n":%d,"x":%q}`, i, strings.Repeat("x", 48<<10))))
	}
	archive := source.nodes[0].ask("GET", "/cluster/snapshot", "Bearer "+source.operator, "").body
	source.nodes[0].kill()

	c := startProcesses(t, 3).operated()
	victim := c.others(c.leader())[0]
	other := c.others(victim)[0]
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		// It ends with the process, and says nothing of the restore.
		_, _ = victim.request("PUT", "/cluster/snapshot?sessions=all", "Bearer "+c.operator, archive)
	}()
	c.eventually("some sessions are there", func() bool { return other.sessions() > 0 })
	victim.kill()
	<-uploaded
	t.Logf("killed when %v sessions of %d were there", other.sessions(), sessions)
	got := other.ask("PUT", "/cluster/snapshot?sessions=all", "Bearer "+c.operator, archive)
	var done restoreAnswer
	if err := json.Unmarshal([]byte(got.body), &done); err != nil || got.status != http.StatusOK {
		t.Fatal(got, err)
	}
	if done.Restored != sessions || done.SkippedDead != 0 || done.Unchanged != 0 || other.sessions() != sessions {
		t.Errorf("%+v, and %v sessions", done, other.sessions())
	}
	victim.start()
	victim.awaitReady()
	c.converge()
	for i, token := range tokens {
		n := c.nodes[i%3]
		if got := n.ask("GET", "/api/sessions/current/", token, ""); got.status != http.StatusOK || got.member(t, "session", "data", "n") != float64(i) {
			t.Fatalf("session %d on %s: %d", i, n.id, got.status)
		}
	}
}

// To save is to read all: what is wrong with the state is found then, is not kept as if it were whole, and ends the node.
func TestADamagedNodeSavesNothingAndTakesItselfOutOfService(t *testing.T) {
	c := startProcesses(t, 3)
	// bbolt keeps a bucket below a quarter of a page inside of another's page, and may read it from a copy in memory, in
	// which nothing is flipped.
	c.nodes[0].create(`{"k":"` + needle + `","x":"` + strings.Repeat("x", 2*os.Getpagesize()) + `"}`)
	n := c.others(c.leader())[0]
	path := filepath.Join(n.dir, tableFile)
	var places []int64
	c.eventually("the session is in the table's file", func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		places = inText(needle)(content)
		return len(places) > 0
	})
	flipAt(t, path, places)
	// An error of the connection is well, too: the node ends while it answers.
	if got, err := n.request("GET", "/cluster/snapshot", "Bearer "+c.operator, ""); err == nil && got.status < 500 {
		t.Fatalf("it answers %d", got.status) // and would go on: to wait for its end is in vain
	}
	n.awaitFailure("the data of this node are damaged")
	if got := c.others(n)[0].ask("GET", "/cluster/snapshot", "Bearer "+c.operator, ""); got.status != http.StatusOK {
		t.Errorf("another node: %v", got.status)
	}
}
