package gossip

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	// lonelyInterval is the pause between tries while nobody else is there, or
	// while others refuse this node because they believe it elsewhere.
	lonelyInterval = time.Second
	// contestedFor: a refusal that is not repeated for this long is over. While
	// the old address is suspected it is not, and that takes its time.
	contestedFor = 30 * time.Second
	// resolveTimeout bounds the lookup of a seed.
	resolveTimeout = 3 * time.Second
)

// look joins whoever is known and not there, again and again: memberlist forgets
// the dead, and two halves of a cluster that have forgotten each other would
// never meet again.
func (p *Pool) look() {
	for {
		p.join()
		p.learn()
		interval := p.c.RejoinInterval
		if len(p.roster.list()) <= 1 || p.contested() {
			interval = min(interval, lonelyInterval)
		}
		if !p.rest(interval) {
			p.learn()
			return
		}
	}
}

// rest waits, and meanwhile writes down who comes; false means the end.
func (p *Pool) rest(interval time.Duration) bool {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-p.roster.moved:
			p.learn()
		}
	}
}

func (p *Pool) learn() {
	p.memory.learn(p.roster.list(), p.c.NodeID, time.Now())
	if err := p.memory.save(); err != nil {
		p.c.Logger.Warn("peers cannot be remembered", "error", err)
	}
}

// join tries all missing addresses at once: a dead one must not hold up the rest.
func (p *Pool) join() {
	var tries sync.WaitGroup
	for addr := range p.missing() {
		tries.Go(func() {
			if _, err := p.list.Join([]string{addr}); err != nil && p.ctx.Err() == nil {
				p.failed(addr, err)
			}
		})
	}
	tries.Wait()
}

// failed tells why nobody was joined at an address. That the node there has
// another cluster key is news: neither will ever hear the other.
func (p *Pool) failed(addr string, err error) {
	if strings.Contains(err.Error(), otherKey) && p.strangers.IsNews(addr, time.Now()) {
		p.c.Logger.Warn("the node at an address has another cluster key than this one", "addr", addr)
		return
	}
	p.c.Logger.Debug("no gossip with an address", "addr", addr, "error", err)
}

// contested: others still believe this node at an address that it had before.
// They let go soon after that is found dead; only the next exchange tells them
// of the new one.
func (p *Pool) contested() bool {
	for _, c := range p.roster.listConflicts() {
		if c.ID == p.c.NodeID && time.Since(c.Last) < contestedFor {
			return true
		}
	}
	return false
}

// missing are the known gossip addresses, seeds and remembered ones, at which no
// member is; all, if this node is contested.
func (p *Pool) missing() map[string]struct{} {
	wanted := p.seeds()
	members, contested := p.roster.list(), p.contested()
	present := make(map[string]bool, len(members))
	for _, m := range members {
		present[m.ID] = true
		if contested && m.ID != p.c.NodeID {
			wanted[m.GossipAddr] = struct{}{}
		} else {
			delete(wanted, m.GossipAddr)
		}
	}
	for _, r := range p.memory.list() {
		if !present[r.ID] && r.GossipAddr != "" {
			wanted[r.GossipAddr] = struct{}{}
		}
	}
	return wanted
}

// seeds are the addresses that the names of the seeds have now, looked up all at
// once: a name server that is away must not add up.
func (p *Pool) seeds() map[string]struct{} {
	ctx, cancel := context.WithTimeout(p.ctx, resolveTimeout)
	defer cancel()
	found := make(map[string]struct{})
	var mu sync.Mutex
	var lookups sync.WaitGroup
	for _, seed := range p.c.Join {
		lookups.Go(func() {
			endpoints, err := resolve(ctx, seed)
			if err != nil {
				p.c.Logger.Debug("seed has no address", "seed", seed, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range endpoints {
				found[e.String()] = struct{}{}
			}
		})
	}
	lookups.Wait()
	return found
}
