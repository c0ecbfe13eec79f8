package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestASessionOutlivesTheNodeThatMadeIt(t *testing.T) {
	c := newTestCluster(t, 3)
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	session := first.login()
	patched := second.ask("PATCH", "/api/sessions/current/", session, `{"onboarding_completed":true,"subscription_plan":"professional"}`)
	if patched.status != http.StatusOK || patched.index == "" {
		t.Fatal(patched)
	}
	read := third.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Index", patched.index)
	if read.status != http.StatusOK || read.member(t, "session", "data", "subscription_plan") != "professional" {
		t.Fatal(read)
	}

	leader := c.leader()
	leader.end()
	for _, n := range c.nodes {
		if n == leader {
			continue
		}
		if got := n.ask("PATCH", "/api/sessions/current/", session, `{"after":true}`); got.status != http.StatusOK {
			t.Errorf("after the leader left: %v", got)
		}
		if got := n.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong"); got.status != http.StatusOK {
			t.Errorf("after the leader left: %v", got)
		}
	}
	leader.start()
	leader.awaitReady()
	if got := leader.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Consistency", "strong"); got.member(t, "session", "data", "after") != true {
		t.Errorf("back again: %v", got)
	}

	gone := leader.ask("POST", "/api/sessions/invalidate-all/", session, `{}`)
	if gone.status != http.StatusOK || gone.member(t, "revoked") != 1.0 {
		t.Fatal(gone)
	}
	for _, n := range c.nodes {
		if got := n.ask("GET", "/api/sessions/current/", session, "", "Holdfast-Index", gone.index); got.status != http.StatusUnauthorized {
			t.Errorf("logged out: %v", got)
		}
	}
	for _, n := range c.nodes {
		if strings.Contains(n.logs.String(), strings.TrimPrefix(session, "Session ")) || strings.Contains(n.logs.String(), c.service) {
			t.Error("a secret is in a log")
		}
	}
}

func TestEverythingIsThereAfterAllNodesWereStopped(t *testing.T) {
	c := newTestCluster(t, 3)
	session := c.nodes[0].login()
	for _, n := range c.nodes {
		n.end()
	}
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
		if got := n.ask("GET", "/api/sessions/current/", session, ""); got.status != http.StatusOK {
			t.Errorf("%s: %v", n.args[1], got)
		}
	}
}

func TestStatusAgreesOnEveryNodeAndOnTheState(t *testing.T) {
	c := newTestCluster(t, 3)
	c.nodes[1].login()
	for _, n := range c.nodes {
		deadline := time.Now().Add(20 * time.Second)
		for {
			s := c.status(n)
			hashes := make(map[string]bool)
			for _, m := range s.Members {
				hashes[m.StateHash] = true
			}
			if s.Healthy && s.FailureTolerance == 1 && len(s.Members) == 3 && len(hashes) == 1 && !keysDiffer(s) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("status of %s: %+v", n.args[1], s)
			}
		}
	}
	if got := c.nodes[0].ask("GET", "/cluster/status", "Bearer "+c.service, ""); got.status != http.StatusForbidden {
		t.Errorf("a service key sees the cluster: %v", got)
	}
}

func TestReadyIsLoggedOnceAndDrainingIsSeenFromOutside(t *testing.T) {
	c := newTestCluster(t, 1, "--drain-wait", "700ms")
	n := c.nodes[0]
	if got := n.ask("GET", "/readyz", "", ""); got.status != http.StatusOK {
		t.Fatal(got)
	}
	session := n.login()
	n.stop()
	deadline := time.Now().Add(10 * time.Second)
	for n.ask("GET", "/readyz", "", "").status != http.StatusServiceUnavailable {
		if time.Now().After(deadline) {
			t.Fatal("a draining node says that it is ready")
		}
	}
	if got := n.ask("GET", "/api/sessions/current/", session, ""); got.status != http.StatusOK {
		t.Errorf("a draining node answers %v", got)
	}
	n.end()
	ready := 0
	for line := range strings.Lines(n.logs.String()) {
		var entry struct {
			Msg      string `json:"msg"`
			HTTPAddr string `json:"http_addr"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("a line of the log is no JSON: %s", line)
		}
		if entry.Msg == "ready" {
			ready++
			if "http://"+entry.HTTPAddr != n.url {
				t.Errorf("ready at %s", entry.HTTPAddr)
			}
		}
	}
	if ready != 1 {
		t.Errorf("ready is logged %d times", ready)
	}
}

func TestMetricsShowEveryPart(t *testing.T) {
	c := newTestCluster(t, 1)
	n := c.nodes[0]
	n.login()
	got := n.ask("GET", "/metrics", "", "")
	for _, want := range []string{
		"holdfast_http_requests_total{", "holdfast_cluster_freshness_age_seconds ", "holdfast_cluster_batch_commands_bucket",
		"holdfast_cluster_forwarded_commands_total", "holdfast_storage_flushes_total ", "holdfast_storage_file_bytes ",
		"holdfast_sessions_live 1", "holdfast_sweeper_oldest_due_seconds 0", "holdfast_storage_flush_duration_seconds_count",
		"holdfast_disk_free_bytes ", "holdfast_cluster_key_info{", "holdfast_cluster_certificate_not_after_timestamp_seconds ",
		"holdfast_cluster_write_pause_seconds_count", "holdfast_build_info{", "holdfast_http_keys_info{", "holdfast_ready 1",
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s is not in /metrics", want)
		}
	}
	if got := n.ask("GET", "/debug/pprof/", "", ""); got.status != http.StatusNotFound {
		t.Errorf("pprof is public: %v", got)
	}
}
