package load

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestAnswersOfTroubleAreCountedByCode(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request, number int) bool {
		switch {
		case number%10 == 0:
			problem(w, 503, "no_leader")
		case number%10 == 1:
			problem(w, 429, "rate_limited")
		default:
			return false
		}
		return true
	})
	result := mustRun(t, Options{Addrs: []string{node.addr()}, Profile: Get, Clients: 4, Count: 1000, Tokens: testTokens(t, 3)})
	if result.Operations != 800 || result.Errors != 200 || result.Reads.Errors != 200 || result.Reconnects != 0 {
		t.Fatalf("result %+v", result)
	}
	slices.SortFunc(result.ErrorKinds, func(a, b ErrorCount) int { return a.Status - b.Status })
	if k := result.ErrorKinds; len(k) != 2 || k[0].Status != 429 || k[0].Code != "rate_limited" || k[0].Count != 100 ||
		k[1].Count != 100 || k[1].Code != "no_leader" || !slices.Equal(k[1].Examples, []string{"why no_leader"}) {
		t.Errorf("kinds %+v", k)
	}
}

func TestALostConnectionIsCountedAndReplaced(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request, number int) bool {
		if number%50 != 49 {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return true
	})
	result := mustRun(t, Options{Addrs: []string{node.addr()}, Profile: Get, Clients: 3, Count: 1000, Tokens: testTokens(t, 3)})
	if result.Operations != 980 || result.Errors != 20 || result.Reconnects < 17 || result.Reconnects > 20 {
		t.Fatalf("result %+v", result)
	}
	if k := result.ErrorKinds; len(k) != 1 || k[0].Code != "connection_lost" || k[0].Status != 0 {
		t.Errorf("kinds %+v", k)
	}
}

func TestAConnectionThatTheNodeEndsPolitelyIsNoError(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Header().Set("Connection", "close")
		return false
	})
	result := mustRun(t, Options{Addrs: []string{node.addr()}, Profile: Get, Clients: 3, Count: 60, Tokens: testTokens(t, 3)})
	if result.Operations != 60 || result.Errors != 0 || result.Reconnects != 0 {
		t.Errorf("result %+v", result)
	}
}

func TestClientsOfADeadNodeGoOnWithTheNext(t *testing.T) {
	dead, alive := newFakeNode(t, nil), newFakeNode(t, nil)
	dead.Close()
	result := mustRun(t, Options{
		Addrs: []string{dead.addr(), alive.addr()}, Profile: Get, Clients: 4, Count: 500, Tokens: testTokens(t, 3),
	})
	if result.Errors != 2 || result.Operations != 498 || alive.count() != 498 || result.ErrorKinds[0].Code != "connect_failed" {
		t.Errorf("result %+v", result)
	}
}

func TestARequestWithoutAnswerTimesOut(t *testing.T) {
	node := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request, number int) bool {
		if number > 0 {
			return false
		}
		<-r.Context().Done()
		return true
	})
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 1, Count: 10, Timeout: 50 * time.Millisecond, Tokens: testTokens(t, 3),
	})
	if result.Operations != 9 || result.Errors != 1 || result.ErrorKinds[0].Code != "timeout" || result.SlowestErrorMS < 50 {
		t.Errorf("result %+v", result)
	}
	if result.Reads.LongestGapMS < 49 {
		t.Errorf("the longest gap is %v ms", result.Reads.LongestGapMS)
	}
}
