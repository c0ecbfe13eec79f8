package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestADisagreementIsToldAfterAWhileAndThenNowAndAgain(t *testing.T) {
	start := time.Unix(1<<30, 0)
	var d disagreement
	for _, step := range []struct {
		at         time.Duration
		differs    bool
		warn, over bool
	}{
		{0, true, false, false},
		{disagreementPatience - 1, true, false, false},
		{disagreementPatience, false, false, false}, // an operator was at work
		{time.Minute, true, false, false},
		{time.Minute + disagreementPatience, true, true, false},
		{2 * time.Minute, true, false, false},
		{time.Minute + disagreementPatience + disagreementReminder, true, true, false},
		{time.Hour, false, false, true},
		{time.Hour + 1, false, false, false},
	} {
		if warn, over := d.observe(step.differs, start.Add(step.at)); warn != step.warn || over != step.over {
			t.Errorf("after %s, differs %v: warn %v, over %v", step.at, step.differs, warn, over)
		}
	}
}

// testLog is a log that tests read while it is written.
type testLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *testLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func TestTheLeaderTellsOfFilesThatDiffer(t *testing.T) {
	var log testLog
	var mu sync.Mutex
	digests := map[string]string{}
	withKeys, file := withKeyFiles(t)
	configure := func(c *Config) {
		withKeys(c)
		c.PolicyDigest = map[string]string{"n1": "one", "n2": "other", "n3": ""}[c.NodeID] // n3 is of an earlier release
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		id := c.NodeID
		c.KeysDigest = func() string {
			mu.Lock()
			defer mu.Unlock()
			return digests[id]
		}
	}
	const flags = "the members' flags for sessions or logins differ"
	const services, keys = "the members' keys files differ", "the members' cluster keys differ"
	simulate(t, 3, configure, func(s *sim) {
		odd := s.others(s.leader().id)[0]
		if log.count(flags) != 0 {
			t.Error("told of flags at once")
		}
		time.Sleep(time.Minute)
		if log.count(services)+log.count(keys) != 0 {
			t.Error("told of what does not differ")
		}
		if log.count(flags) != 1 {
			t.Errorf("told of flags %d times", log.count(flags))
		}
		mu.Lock()
		digests[odd.id] = "other"
		mu.Unlock()
		before := odd.node.keyring.state.Load().keys[0]
		writeKeys(t, file(odd.id), before, newClusterKey(t))
		if err := odd.node.ReloadKeys(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(disagreementPatience / 2)
		if log.count(services)+log.count(keys) != 0 {
			t.Error("told of what an operator may be about to finish")
		}
		time.Sleep(disagreementPatience + agreementInterval)
		if log.count(services) != 1 || log.count(keys) != 1 {
			t.Errorf("told %d and %d times", log.count(services), log.count(keys))
		}
		mu.Lock()
		delete(digests, odd.id)
		mu.Unlock()
		writeKeys(t, file(odd.id), before)
		if err := odd.node.ReloadKeys(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * agreementInterval)
		if log.count("over: "+services) != 1 || log.count("over: "+keys) != 1 {
			t.Error("it is over, and that is not told")
		}
	})
}
