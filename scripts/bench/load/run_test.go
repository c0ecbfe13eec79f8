package load

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryRequestOfACountIsCountedOnce(t *testing.T) {
	for _, profile := range Profiles() {
		t.Run(string(profile), func(t *testing.T) {
			nodes := []*fakeNode{newFakeNode(t, nil), newFakeNode(t, nil), newFakeNode(t, nil)}
			options := Options{
				Addrs: []string{nodes[0].addr(), nodes[1].addr(), nodes[2].addr()}, Profile: profile, Clients: 9, Count: 2000,
				Key: "hfk_test", Seed: 7,
			}
			if profile != Create {
				options.Tokens = testTokens(t, 50)
			}
			result := mustRun(t, options)
			if result.Operations != 2000 || result.Errors != 0 || result.Abandoned != 0 || result.Reconnects != 0 {
				t.Fatalf("result %+v", result)
			}
			total, timeline := 0, uint64(0)
			for _, n := range nodes {
				if n.count() == 0 {
					t.Error("a node got no request")
				}
				total += n.count()
			}
			for _, s := range result.Timeline {
				timeline += s.Operations
			}
			if total != 2000 || timeline != 2000 {
				t.Errorf("the nodes saw %d requests, the timeline has %d", total, timeline)
			}
			if (result.Reads != nil) != (profile != Create && profile != Patch) || (result.Writes != nil) != (profile != Get) {
				t.Errorf("classes: reads %v, writes %v", result.Reads, result.Writes)
			}
			l := result.Latency
			if l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || result.OperationsPerSecond <= 0 {
				t.Errorf("latency %+v", l)
			}
		})
	}
}

func TestMixedPatchesOneInTwenty(t *testing.T) {
	node := newFakeNode(t, nil)
	result := mustRun(t, Options{Addrs: []string{node.addr()}, Profile: Mixed, Clients: 8, Count: 4000, Tokens: testTokens(t, 9)})
	if n := node.byMethod[http.MethodPatch]; uint64(n) != result.Writes.Operations || n < 120 || n > 280 {
		t.Errorf("%d of 4000 requests were patches, %d counted", n, result.Writes.Operations)
	}
}

func TestEveryPatchAsksForAnotherValue(t *testing.T) {
	node := newFakeNode(t, nil)
	mustRun(t, Options{Addrs: []string{node.addr()}, Profile: Patch, Clients: 4, Count: 500, Tokens: testTokens(t, 1)})
	slices.Sort(node.bodies)
	if n := len(slices.Compact(node.bodies)); n != 500 {
		t.Errorf("500 patches had %d different bodies", n)
	}
}

func TestWarmUpIsNotCounted(t *testing.T) {
	node := newFakeNode(t, nil)
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 2, Count: 300, WarmUp: 50 * time.Millisecond, Tokens: testTokens(t, 1),
	})
	if result.Operations != 300 || node.count() <= 300 {
		t.Errorf("counted %d of %d requests", result.Operations, node.count())
	}
}

func TestARatedRunKeepsItsPace(t *testing.T) {
	node := newFakeNode(t, nil)
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 5, Count: 50, RatePerSecond: 250, Tokens: testTokens(t, 3),
	})
	if result.Operations != 50 || result.Seconds < .19 {
		t.Errorf("50 requests at 250/s took %v s", result.Seconds)
	}
}

func TestALateRequestOfARatedRunCountsFromItsDueTime(t *testing.T) {
	hold := 80 * time.Millisecond
	node := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request, number int) bool {
		if number == 0 {
			timer := time.NewTimer(hold)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
			}
		}
		return false
	})
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 1, Count: 20, RatePerSecond: 250, Tokens: testTokens(t, 3),
	})
	// Behind the first answer about twenty requests are late, by 76, 72, 68 … ms.
	if result.Latency.P50 < 20_000 {
		t.Errorf("the median is %v µs: the wait of the requests behind a slow one is not counted", result.Latency.P50)
	}
}

func TestPreloadBringsTheWholeNumberInSpiteOfFailures(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request, number int) bool {
		if number%5 == 4 {
			problem(w, 503, "no_leader")
			return true
		}
		return false
	})
	tokens, _, err := Preload(t.Context(), Options{
		Addrs: []string{node.addr()}, Clients: 16, Key: "hfk_test", Users: 10, DataBytes: 200, IdleTimeout: time.Hour,
		ExpireAt: time.Now().Add(time.Hour),
	}, 500)
	if err != nil || tokens.Len() != 500 || len(node.tokens) != 500 || len(node.users) != 10 {
		t.Fatalf("error %v, %d tokens of %d, %d users", err, tokens.Len(), len(node.tokens), len(node.users))
	}
	for i := range tokens.Len() {
		if !node.tokens[tokens.At(i)] {
			t.Fatalf("token %d was never given out", i)
		}
	}
	var body struct {
		Data     map[string]any `json:"data"`
		Idle     string         `json:"idle_timeout"`
		Absolute string         `json:"absolute_timeout"`
	}
	if err := json.Unmarshal([]byte(node.bodies[0]), &body); err != nil {
		t.Fatal(err)
	}
	left, err := time.ParseDuration(body.Absolute)
	if err != nil || left > time.Hour || left < 50*time.Minute || body.Idle != "3600000ms" {
		t.Errorf("absolute %q, idle %q", body.Absolute, body.Idle)
	}
	if raw, _ := json.Marshal(body.Data); len(raw) != 200 {
		t.Errorf("the data has %d bytes", len(raw))
	}
}

func TestPreloadSaysWhyItFellShort(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request, _ int) bool { problem(w, 507, "disk_low"); return true })
	_, _, err := Preload(t.Context(), Options{Addrs: []string{node.addr()}, Key: "hfk_test"}, 10)
	if err == nil || !strings.Contains(err.Error(), "disk_low") {
		t.Errorf("error %v", err)
	}
}

func TestOptionsNameAllFaultsAtOnce(t *testing.T) {
	_, err := Run(t.Context(), Options{Addrs: []string{"nowhere"}, Profile: "dance", Clients: -1, Authorization: "a\r\nb"})
	for _, want := range []string{"HOST:PORT", "dance", "clients", "duration", "control characters", "tokens"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestProgressIsReported(t *testing.T) {
	node := newFakeNode(t, nil)
	var last Progress
	mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 2, Duration: 500 * time.Millisecond, Tokens: testTokens(t, 3),
		Progress: func(p Progress) { last = p },
	})
	if last.Operations == 0 || last.Elapsed <= 0 || last.Total != 500*time.Millisecond {
		t.Errorf("progress %+v", last)
	}
}
