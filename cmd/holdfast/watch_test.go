package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/api"
)

func clusterOf(leader string, members ...api.Member) api.Status {
	s := api.Status{Cluster: "00000000000000aa", Leader: leader, Term: 7, Healthy: leader != "", FailureTolerance: 1, Members: members}
	for _, m := range members {
		s.Healthy = s.Healthy && m.Healthy
	}
	return s
}

func memberIn(id, state string) api.Member {
	m := api.Member{ID: id, State: state, Voter: true, Healthy: state != stateDown, Version: "v1", Role: "voter", HTTPAddr: "h-" + id + ":1"}
	if state == stateDown {
		m.Detail = "does not answer"
	}
	return m
}

func TestOnlyWhatAnOperatorWouldBeToldIsAChange(t *testing.T) {
	three := func(change func(*api.Status)) api.Status {
		s := clusterOf("n1", memberIn("n1", "leader"), memberIn("n2", "follower"), memberIn("n3", "follower"))
		if change != nil {
			change(&s)
		}
		return s
	}
	for _, c := range []struct {
		name   string
		change func(*api.Status)
		want   []string
	}{
		{"figures", func(s *api.Status) {
			s.Members[1].AppliedIndex, s.Members[1].Lag, s.Members[1].LastContactMS, s.Members[1].StateHash = 9, 3, 70, "9:1"
		}, nil},
		{"a failover", func(s *api.Status) {
			s.Leader, s.Term = "n2", 8
			s.Members[0], s.Members[1] = memberIn("n1", stateDown), memberIn("n2", "leader")
			s.Healthy, s.FailureTolerance = false, 0
		}, []string{"leader n2 (was n1), term 8", "n1 is down (was leader): does not answer", "n2 is leader (was follower)", "NOT healthy: survives the loss of 0 more nodes"}},
		{"an election that changed nothing", func(s *api.Status) { s.Term = 9 }, []string{"term 9 (was 7), the leader is still n1"}},
		{"a node joins", func(s *api.Status) {
			n4 := memberIn("n4", "follower")
			n4.Voter = false
			s.Members = append(s.Members, n4)
		}, []string{"n4 is new: follower, without a vote"}},
		{"a node leaves, another is upgraded", func(s *api.Status) {
			s.Members = s.Members[:2]
			s.Members[1].Version = "v2"
		}, []string{"n2 has version v2 (was v1)", "n3 is not a member any more"}},
		{"a vote", func(s *api.Status) { s.Members[2].Voter = false }, []string{"n3 has no vote any more"}},
		{"a demotion", func(s *api.Status) { s.Members[2].Voter, s.Members[2].Demoted = false, true }, []string{"n3 has no vote any more", "n3 was demoted by an operator"}},
		{"a zone and a level", func(s *api.Status) { s.FeatureLevel, s.Members[2].Zone = 2, "b" }, []string{"feature level 2 (was 0)", "n3 has zone b (was none)"}},
		{"not well", func(s *api.Status) { s.Members[2].Healthy, s.Members[2].Detail = false, "12 entries behind" }, []string{"n3 is not well: 12 entries behind"}},
		{"keys", func(s *api.Status) { s.Members[2].KeysDigest = "x" }, []string{"the nodes' keys files differ"}},
		{"another cluster", func(s *api.Status) { s.Cluster = "00000000000000bb" }, []string{"the cluster is 00000000000000bb (was 00000000000000aa): a restored archive, or another cluster"}},
		{"a name that moves the cursor", func(s *api.Status) { s.Members[2].ID = "\x1b[2J" }, []string{`"\x1b[2J" is new: follower`, "n3 is not a member any more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := statusChanges(three(nil), three(c.change)); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// watching runs cluster watch in the background. The returned function interrupts it and gives its exit code.
func watching(t *testing.T, out *lockedBuffer, args ...string) (interrupt func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	p := &program{environ: []string{"HOLDFAST_KEY=hfo_secret"}, stdout: out, stderr: out}
	go func() { ended <- p.main(ctx, append([]string{"cluster", "watch", "--interval", "10ms"}, args...)) }()
	t.Cleanup(cancel)
	return func() int {
		cancel()
		return <-ended
	}
}

func (l *lockedBuffer) await(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(l.String(), what); {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in:\n%s", what, l)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// told is a node that shows a status that the test changes; nil is a node that breaks every connection.
type told struct{ now atomic.Pointer[api.Status] }

func (n *told) set(s api.Status) { n.now.Store(&s) }

func (n *told) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status := n.now.Load()
	if status == nil {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(status)
}

func TestAWatchSurvivesTheNodeThatItAsks(t *testing.T) {
	first, second := &told{}, &told{}
	one, two := httptest.NewServer(first), httptest.NewServer(second)
	defer one.Close()
	defer two.Close()
	n1, n2 := memberIn("n1", "leader"), memberIn("n2", "follower")
	n2.HTTPAddr = two.Listener.Addr().String() // nobody names it: it is learned
	first.set(clusterOf("n1", n1, n2))
	out := &lockedBuffer{}
	interrupt := watching(t, out, "--addr", one.URL)
	out.await(t, "  healthy: survives the loss of 1 more node\n")
	n2.State = "leader"
	second.set(clusterOf("n2", memberIn("n1", stateDown), n2))
	first.now.Store(nil)
	out.await(t, "  leader n2 (was n1), term 7\n")
	out.await(t, "  n1 is down (was leader): does not answer\n")
	second.now.Store(nil)
	out.await(t, "  no node answers: ")
	first.set(clusterOf("n1", n1, n2))
	out.await(t, one.URL+" answers\n")
	if code := interrupt(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("the cursor is moved where there is no screen")
	}
}

func TestAWatchBelievesWhoKnowsALeader(t *testing.T) {
	cutOff, well := &told{}, &told{}
	one, two := httptest.NewServer(cutOff), httptest.NewServer(well)
	defer one.Close()
	defer two.Close()
	cutOff.set(clusterOf("", memberIn("n1", "candidate"), memberIn("n2", stateDown)))
	well.set(clusterOf("n2", memberIn("n1", stateDown), memberIn("n2", "leader")))
	w := &watched{given: []string{one.URL, two.URL}}
	if err := w.look(t.Context(), "k"); err != nil || w.from != two.URL || w.status.Leader != "n2" {
		t.Errorf("%v, from %s: %+v", err, w.from, w.status)
	}
	well.now.Store(nil)
	if err := w.look(t.Context(), "k"); err != nil || w.from != one.URL || w.status.Leader != "" {
		t.Errorf("%v, from %s: %+v", err, w.from, w.status)
	}
}

func TestAWatchAsJSONIsOneObjectALine(t *testing.T) {
	node := &told{}
	server := httptest.NewServer(node)
	defer server.Close()
	node.set(clusterOf("n1", memberIn("n1", "leader")))
	out := &lockedBuffer{}
	interrupt := watching(t, out, "--addr", server.URL, "-o", "json")
	out.await(t, "\n")
	node.set(clusterOf("", memberIn("n1", "candidate")))
	out.await(t, "(was n1)")
	interrupt()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, line := range lines {
		var object struct {
			Time    time.Time
			Changes []string
			Status  *api.Status
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil || object.Time.IsZero() || len(object.Changes) == 0 || object.Status == nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines for two states", len(lines))
	}
}

func TestAWatchEndsWhenItsKeyIsRefused(t *testing.T) {
	code, _, errs := verbAgainst(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"code":"forbidden","detail":"An operator key is needed."}`)
	}, "cluster", "watch")
	if code != exitFailed || !strings.Contains(errs, "403 forbidden") {
		t.Error(code, errs)
	}
}

func TestAScreenIsRefreshedInPlace(t *testing.T) {
	var out bytes.Buffer
	p := &program{stdout: &out}
	status := clusterOf("n1", memberIn("n1", "leader"))
	w := &watched{from: "here", status: &status}
	if err := p.drawWatch(w, []string{"one"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(out.String(), "\n")
	if w.drawn != lines || !strings.Contains(out.String(), "  one\n") {
		t.Errorf("%d lines drawn, %d remembered:\n%s", lines, w.drawn, &out)
	}
	out.Reset()
	for i := range 2 * watchHistory {
		out.Reset()
		if err := p.drawWatch(w, []string{fmt.Sprint("change ", i)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "change "); got != watchHistory {
		t.Errorf("%d changes on the screen", got)
	}
	if want := fmt.Sprintf("\x1b[%dA\r\x1b[J", w.drawn); !strings.HasPrefix(out.String(), want) {
		t.Errorf("%q does not begin with %q", out.String(), want)
	}
}
