package load

import (
	"net/http"
	"testing"
	"time"
)

func TestALifeCreatesUsesAndEndsSessions(t *testing.T) {
	node := newFakeNode(t, nil)
	const lives, clients = 5, 4
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Life, Clients: clients, Count: clients * lives * (lifeSteps + 2), Key: "hfk_test",
		Seed: 1,
	})
	made := result.Kinds
	if result.Errors > 0 || result.Operations != clients*lives*(lifeSteps+2) {
		t.Errorf("result %+v", result)
	}
	// A client may be given more of the count than another, and then its last life is cut short.
	if made["create"] < made["logout"] || made["create"] > made["logout"]+clients || made["logout"] == 0 {
		t.Errorf("%d sessions were created, %d ended", made["create"], made["logout"])
	}
	if reads, patches := made["read"], made["patch"]; patches == 0 || reads < patches || reads > 4*patches {
		t.Errorf("%d reads, %d patches", reads, patches)
	}
	if alive := uint64(len(node.tokens)); alive != made["create"]-made["logout"] {
		t.Errorf("%d sessions are left", alive)
	}
}

func TestALifeBeginsAnewWhenItsEndFailed(t *testing.T) {
	node := newFakeNode(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodDelete {
			problem(w, http.StatusServiceUnavailable, "no_leader")
			return true
		}
		return false
	})
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Life, Clients: 1, Count: 3 * (lifeSteps + 2), Key: "hfk_test",
	})
	if result.Kinds["create"] != 3 || result.Errors != 3 || result.Kinds["logout"] != 0 {
		t.Errorf("result %+v", result)
	}
}

func TestTheWriteGapIsThatOfItsWindow(t *testing.T) {
	p := newPulse(time.Second)
	for _, at := range []time.Duration{10, 20, 320, 330, 500} {
		p.mark(at * time.Millisecond)
	}
	start := time.Now()
	r := Result{start: start, end: 600 * time.Millisecond, pulses: [2]*pulse{newPulse(time.Second), p}}
	for _, test := range []struct{ from, to, want time.Duration }{
		{0, 600, 300}, {0, 25, 10}, {320, 600, 170}, {400, 9000, 100}, {-5000, 15, 10},
	} {
		got := r.LongestWriteGap(start.Add(test.from*time.Millisecond), start.Add(test.to*time.Millisecond))
		if got != test.want*time.Millisecond {
			t.Errorf("%v to %v: %v, want %v", test.from, test.to, got, test.want)
		}
	}
}
