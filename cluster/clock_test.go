package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLowerMedian(t *testing.T) {
	for _, c := range []struct {
		ms   []int64
		want int64
	}{
		{[]int64{5}, 5},
		{[]int64{9, 5}, 5},
		{[]int64{9, 1, 5}, 5},
		{[]int64{9, 1, 5, 7}, 5},
	} {
		if got := lowerMedian(c.ms); got != c.want {
			t.Errorf("%v: %d, want %d", c.ms, got, c.want)
		}
	}
}

func TestTheLogsClockRunsWithMonotonicTimeAndNeverBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c logClock
		if c.now() != 0 {
			t.Fatal("it runs before it was set")
		}
		c.forward(1000)
		time.Sleep(500 * time.Millisecond)
		if c.now() != 1500 {
			t.Errorf("%d", c.now())
		}
		if c.forward(1200) || c.now() != 1500 {
			t.Errorf("it went back to %d", c.now())
		}
		if !c.forward(5000) || c.now() != 5000 {
			t.Errorf("%d", c.now())
		}
	})
}

// drift is how far the log's clock is from true time.
func (s *sim) drift(one *simNode) time.Duration {
	return time.Duration(one.node.clock.now()-time.Now().UnixMilli()) * time.Millisecond
}

func TestOneWallClockAnHourOffChangesNothing(t *testing.T) {
	for name, offset := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, nil, func(s *sim) {
				s.nodes["n2"].offset = offset
				s.startAll()
				var last int64
				for range 3 {
					leader := s.leader()
					s.mustSet(leader, "k", "v")
					if d := s.drift(leader); d > time.Second || d < -time.Second {
						t.Errorf("the log's clock is %s off", d)
					}
					if _, _, stamp := leader.machine.Applied(); stamp < last {
						t.Errorf("the stamp went back from %d to %d", last, stamp)
					} else {
						last = stamp
					}
					time.Sleep(70 * time.Second)
					s.kill(leader.id)
					s.leader()
					s.start(leader.id)
				}
				s.converge()
			})
		})
	}
}

func TestAClusterThatWasDownHasLostThatTime(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		s.mustSet(s.nodes["n1"], "k", "v")
		for _, id := range s.ids {
			s.kill(id)
		}
		time.Sleep(time.Hour)
		s.startAll()
		leader := s.leader()
		if d := s.drift(leader); d > time.Second || d < -time.Second {
			t.Errorf("the log's clock is %s off", d)
		}
		s.mustSet(leader, "k", "w")
		if _, _, stamp := leader.machine.Applied(); time.Since(time.UnixMilli(stamp)) > time.Second {
			t.Errorf("the entry is stamped %s", time.UnixMilli(stamp))
		}
	})
}

func TestAReadsClockIsAnUpperBound(t *testing.T) {
	simulate(t, 3, nil, func(s *sim) {
		for range 100 {
			time.Sleep(7 * time.Millisecond)
			leader := s.leader()
			for _, id := range s.ids {
				truth := leader.node.clock.now()
				now, err := s.nodes[id].node.Read(s.t.Context(), 0, false)
				if err != nil {
					t.Fatal(err)
				}
				if now < truth || now > truth+50 {
					t.Errorf("%s: %d ms from the leader's clock", id, now-truth)
				}
			}
		}
	})
}
