package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// frontend is a cluster as a visitor sees it: it keeps every promise but the one that a test has broken.
type frontend struct {
	mu      sync.Mutex
	n, old  int
	out     bool
	creates int

	stale, remembers, forgetful bool
	status                      int // of a PATCH, if not 0
}

var patchBody = regexp.MustCompile(`^\{"n":(\d+)\}$`)

func (f *frontend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Holdfast-Node", "n7")
	if r.Method != http.MethodGet {
		if r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "a write without a key", http.StatusBadRequest)
			return
		}
		if !f.forgetful {
			w.Header().Set("Holdfast-Index", "00000000000000aa.5")
		}
	}
	switch r.Method {
	case http.MethodPost:
		f.n, f.old, f.out = 0, 0, false
		f.creates++
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"token":"t"}`)
	case http.MethodPatch:
		if f.status != 0 {
			w.WriteHeader(f.status)
			_, _ = io.WriteString(w, `{"code":"no_leader","detail":"There is no leader."}`)
			return
		}
		f.old = f.n
		f.n, _ = strconv.Atoi(patchBody.FindStringSubmatch(string(body))[1])
	case http.MethodDelete:
		f.out = true
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		if (r.Header.Get("Holdfast-Index") == "") == (r.Header.Get("Holdfast-Consistency") == "") {
			http.Error(w, "a read that asks for nothing, or for both", http.StatusBadRequest)
			return
		}
		if f.out && !f.remembers {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shown := f.n
		if f.stale {
			shown = f.old
		}
		fmt.Fprintf(w, `{"session":{"data":{"n":%d}}}`, shown)
	}
}

// visit lets one visitor do so many requests.
func visit(t *testing.T, f http.Handler, requests int) *tally {
	t.Helper()
	node := httptest.NewServer(f)
	defer node.Close()
	counted := &tally{began: time.Now()}
	v := &visitor{
		url: node.URL, client: node.Client(), user: "u", tally: counted,
		login: func(user string) (string, error) { return "jwt-of-" + user, nil },
	}
	for range requests {
		v.next(t.Context())
	}
	return counted
}

const requestsOfAVisit = 2*visitRounds + 3

func TestAVisitorFindsNothingWrongWithAClusterThatKeepsItsPromises(t *testing.T) {
	f := &frontend{}
	got := visit(t, f, 2*requestsOfAVisit)
	if !got.spotless() || got.requests != 2*requestsOfAVisit || f.creates != 2 {
		t.Errorf("%d creates, %v", f.creates, got.summary(time.Now(), 0))
	}
}

func TestAVisitorSeesEveryPromiseThatIsBroken(t *testing.T) {
	for _, c := range []struct {
		name          string
		f             *frontend
		stale, failed bool
		says          string
	}{
		{"a write that cannot be read", &frontend{stale: true}, true, false, "n7 shows write 0 after write 1"},
		{"a session that is served after logout", &frontend{remembers: true}, true, false, "n7 serves a session that was logged out"},
		{"a refused write", &frontend{status: 503}, false, true, "node n7 answers: There is no leader (503 no_leader); 200 was promised"},
		{"a write without an index", &frontend{forgetful: true}, false, true, "without Holdfast-Index"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := visit(t, c.f, requestsOfAVisit)
			if (got.stale > 0) != c.stale || (got.failed > 0) != c.failed || got.spotless() {
				t.Errorf("%d stale, %d failed", got.stale, got.failed)
			}
			if said := strings.Join(got.summary(time.Now(), 0), "\n"); !strings.Contains(said, c.says) {
				t.Errorf("%q is not in:\n%s", c.says, said)
			}
		})
	}
}

func TestALoadWaitsForEveryAnswerAndSendsNoMoreThanMayBeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := &tally{began: time.Now()}
		held := make(chan struct{})
		l := &devLoad{rate: 10, tally: counted, login: func(string) (string, error) {
			<-held
			return "", errors.New("no login today")
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.run(ctx)
		}()
		<-ctx.Done()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("the load ended while requests were under way")
		default:
		}
		close(held)
		<-ended
		// 100 ticks, of which 50 found a visitor who was free.
		if counted.requests != 50 || counted.failed != 50 || counted.skipped != 50 {
			t.Errorf("%d requests, %d failed, %d skipped", counted.requests, counted.failed, counted.skipped)
		}
	})
}

func TestAPauseLastsUntilAWriteThatWasSentAfterTheKill(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	c := &tally{began: began}
	c.wrote(at(0), at(10))
	resumed := c.leaderDied(at(20))
	c.wrote(at(15), at(25)) // was under way: the dead leader's work
	select {
	case <-resumed:
		t.Fatal("a write from before the kill ended the pause")
	default:
	}
	c.wrote(at(30), at(910))
	<-resumed
	c.wrote(at(31), at(911))
	if got := c.lastPause(); got != 900*time.Millisecond || c.failovers != 1 || c.kills != 1 {
		t.Errorf("pause %s, %d failovers of %d kills", got, c.failovers, c.kills)
	}
	<-closedBy(c, at(2000), at(2001), at(2500))
	if line := c.line(at(3000)); !strings.Contains(line, "2 failovers") || !strings.Contains(line, "write pause 1.59 s (median 1.59 s, longest 1.59 s)") {
		t.Error(line)
	}
}

func closedBy(c *tally, killed, sent, acknowledged time.Time) <-chan struct{} {
	resumed := c.leaderDied(killed)
	c.wrote(sent, acknowledged)
	return resumed
}

func TestALineThatIsRefreshedStaysBelowWhatIsSaid(t *testing.T) {
	var out bytes.Buffer
	screen := &terminal{w: &out, screen: true}
	screen.refresh("one")
	screen.say("killed %s", "n1")
	screen.refresh("")
	screen.say("bye")
	want := clearLine + wrapOff + "one" + wrapOn + clearLine + "killed n1\n" + wrapOff + "one" + wrapOn + clearLine + "bye\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	paper := &terminal{w: &out}
	paper.refresh("one")
	paper.say("two")
	if out.String() != "two\n" {
		t.Errorf("%q", out.String())
	}
}

func TestTheBalancerRepeatsWhatBreaksInTheMiddleOfAnAnswer(t *testing.T) {
	dying := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half of")
		panic(http.ErrAbortHandler)
	})
	url := balanced(t, dying, http.HandlerFunc(echo))
	for range 6 {
		r, err := http.NewRequest(http.MethodPatch, url+"/x", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", "k")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "hello" {
			t.Fatal(response.Status, string(body), err)
		}
	}
}

// freeDevPort is a balancer's port such that all ports of dev are free.
func freeDevPort(t *testing.T, nodes int) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000) // below the ports that systems give to connections
		if devPortsFree(port, nodes) {
			return port
		}
	}
	t.Fatal("no free ports for dev")
	return 0
}

func devPortsFree(port, nodes int) bool {
	c := &devCluster{flags: &devFlags{nodes: nodes, port: port}}
	wanted := []int{port}
	for i := range nodes {
		wanted = append(wanted, c.port(devPort, i), c.port(devClusterPort, i), c.port(devGossipPort, i))
	}
	for _, p := range wanted {
		ln, err := net.Listen("tcp", loopback(p))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

// This is the README's second screen, short: real servers, a real load, and kill -9.
func TestChaosFailsNoRequest(t *testing.T) {
	program, err := exec.LookPath("holdfast")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dev")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "dev", "--chaos", "--chaos-for", "8s", "--chaos-every", "3s", "--chaos-rate", "30",
		"--data-dir", dir, "--port", fmt.Sprint(freeDevPort(t, 3)))
	cmd.SysProcAttr = childAttributes()
	out, err := cmd.CombinedOutput()
	_, report, _ := strings.Cut(string(out), "\nchaos: ")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	counts := regexp.MustCompile(`of chaos: (\d+) requests, 0 failed, 0 stale reads; the leader was killed (\d+) times, writes went on (\d+) times`).FindStringSubmatch(report)
	if counts == nil || counts[1] == "0" || counts[2] == "0" || counts[3] == "0" {
		t.Errorf("no leader was killed under load:\n%s", report)
	}
}

func TestChaosEndsWithAFailureIfOneRequestFailed(t *testing.T) {
	files, err := openDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(deadAddr(t)) // where the balancer should be
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := &devCluster{files: files, balancer: &balancer{}, term: &terminal{w: &out}, flags: &devFlags{
		port: port, chaosFor: 200 * time.Millisecond, chaosEvery: time.Hour, chaosRate: 100,
	}}
	if err := c.chaos(t.Context()); !errors.Is(err, errReported) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "wrong, after") || strings.Contains(out.String(), " 0 failed") {
		t.Errorf("the failures are not told:\n%s", &out)
	}
}
