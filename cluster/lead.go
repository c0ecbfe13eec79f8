package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// clockInterval is how often the leader looks at the voters' wall clocks.
	clockInterval = time.Minute
	// clockPatience is how long a new leader waits for the last wall clocks once
	// a majority has answered. It is part of every failover.
	clockPatience = 10 * time.Millisecond
	// clockTimeout bounds one look at the wall clocks.
	clockTimeout = 250 * time.Millisecond
)

// watchLeadership follows Raft's own notices. It must take every one until Raft
// has stopped: Raft's main loop waits for it.
//
// One term's duties end before the next one's begin. A term that came to its end
// late would otherwise end the rounds of its successor, which then served nobody
// for as long as it led.
func (n *Node) watchLeadership(notices <-chan bool) {
	stop := func() {}
	defer func() { stop() }()
	over := make(chan struct{})
	close(over)
	for {
		select {
		case <-n.raftStopped:
			return
		case up := <-notices:
			stop()
			n.leads.Store(0)
			n.reign.change()
			if up {
				ctx, cancel := context.WithCancel(n.ctx)
				stop = cancel
				n.metrics.elections.Inc()
				before, ends := over, make(chan struct{})
				over = ends
				n.tasks.Go(func() {
					defer close(ends)
					<-before
					n.lead(ctx)
				})
			}
		}
	}
}

// watchLeader turns every change of the leader into the end of a reign.
func (n *Node) watchLeader(r *raft.Raft) {
	changes := make(chan raft.Observation, 1)
	observer := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		switch seen := o.Data.(type) {
		case raft.LeaderObservation:
			if seen.LeaderID != "" {
				n.metrics.leaders.Inc()
			}
			return true
		case raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(observer)
	defer r.DeregisterObserver(observer)
	for {
		select {
		case <-n.raftStopped:
			return
		case <-changes:
			n.reign.change()
		}
	}
}

// lead is one term of this node, from election to ctx's end: it opens the term,
// then serves rounds, moves the clock and takes care of new nodes.
func (n *Node) lead(ctx context.Context) {
	r := n.raft.Load()
	term := r.CurrentTerm()
	if err := n.open(ctx, r, term); err != nil {
		if ctx.Err() == nil {
			n.log.Warn("could not open the term", "term", term, "error", err)
		}
		return
	}
	n.followers.reset()
	n.leads.Store(term)
	n.reign.change()
	n.log.Info("leading", "term", term, "index", n.mark.applied())
	var duties sync.WaitGroup
	duties.Go(func() { n.runRounds(ctx, term) })
	duties.Go(func() { n.runClock(ctx) })
	duties.Go(func() { n.runAgreement(ctx) })
	duties.Go(func() { n.runAutopilot(ctx) })
	duties.Wait()
}

// open commits the term's opening entry. The clock is moved first, so that the
// opening entry already carries the time of the majority, and a cluster that was
// down for an hour has lost that hour's sessions before it serves the first.
func (n *Node) open(ctx context.Context, r *raft.Raft, term uint64) error {
	for {
		if r.State() != raft.Leader || r.CurrentTerm() != term {
			return raft.ErrLeadershipLost
		}
		n.moveClock(ctx, n.cfg.scaled(clockPatience))
		if n.clock.now() == 0 {
			// A log that has no time yet takes it from a majority or not at all.
			if err := pause(ctx, ctx, retryPause); err != nil {
				return err
			}
			continue
		}
		cluster, err := drawCluster()
		if err != nil {
			return err
		}
		err = n.await(r.Apply(encodeOpening(n.clock.now(), cluster), enqueueTimeout))
		if errors.Is(err, raft.ErrEnqueueTimeout) {
			continue
		}
		return err
	}
}

// drawCluster draws a cluster id. Only the first opening entry's is kept.
func drawCluster() (uint64, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("draw a cluster id: %w", err)
		}
		if id := binary.BigEndian.Uint64(b[:]); id != 0 {
			return id, nil
		}
	}
}

// moveClock moves the log's clock forward to the voters' lower median.
func (n *Node) moveClock(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(clockTimeout))
	defer cancel()
	before := n.clock.now()
	median, ok := n.wallMedian(ctx, patience)
	if ok && n.clock.forward(median) && before != 0 && median-before > 1000 {
		n.log.Info("the log's clock moved forward", "by_ms", median-before)
	}
	return ok
}

// runClock looks at all clocks once soon after the election, which hurried, and
// every minute from then on; after a failure it tries again within a second.
func (n *Node) runClock(ctx context.Context) {
	wait := n.cfg.scaled(time.Second)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = clockInterval
		if !n.moveClock(ctx, n.cfg.scaled(clockTimeout)) {
			wait = n.cfg.scaled(time.Second)
		}
	}
}

// leadingTerm is the term that this node leads and has opened, 0 if none.
func (n *Node) leadingTerm() uint64 {
	term := n.leads.Load()
	r := n.raft.Load()
	if term == 0 || r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return 0
	}
	return term
}

// Leading says that this node is the leader and has applied its opening entry.
func (n *Node) Leading() bool { return n.leadingTerm() != 0 }

// Leader is the node that leads as far as this node knows.
func (n *Node) Leader() (id string, ok bool) {
	r := n.raft.Load()
	if r == nil {
		return "", false
	}
	_, leader := r.LeaderWithID()
	return string(leader), leader != ""
}

// await waits for a future of Raft's and counts it: Raft forgets futures that
// wait for the machine when it is shut down, so Close lets them come in first.
func (n *Node) await(f raft.Future) error {
	n.futures.Add(1)
	defer n.futures.Add(-1)
	return f.Error()
}

// configuration is Raft's latest configuration, empty before Raft runs.
func (n *Node) configuration() raft.Configuration {
	r := n.raft.Load()
	if r == nil {
		return raft.Configuration{}
	}
	f := r.GetConfiguration() // answered from a copy, never waits
	if f.Error() != nil {
		return raft.Configuration{}
	}
	return f.Configuration()
}

// voters are the ids that have a vote in the latest configuration.
func (n *Node) voters() []string {
	var ids []string
	for _, s := range n.configuration().Servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}
