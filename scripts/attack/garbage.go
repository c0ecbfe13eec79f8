package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

const (
	garbageClients = 1000
	garbageTime    = 2 * time.Second
	garbagePause   = 100 * time.Millisecond // of each client between two requests: the machine is shared
	garbageAtLeast = 500                    // answers, or the row shows nothing
	logNoise       = 5                      // entries that no rate explains
	electionNoise  = 15                     // entries that a new leader may write
)

// garbageRows have many clients show tokens that parse and that nobody minted. Each must be refused, none may cost the
// cluster a write, and the honest must not notice.
func (a *attack) garbageRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		steps(fmt.Sprintf("%d clients for 2 s, in quiet", garbageClients), "401, 429 or 503; no write; others served", func(ctx context.Context) verdict {
			return a.garbage(ctx, s, nil, logNoise)
		}),
		steps(fmt.Sprintf("%d clients for 2 s, right after kill -9 of the leader", garbageClients), "401, 429 or 503; no write; others served", func(ctx context.Context) verdict {
			leader, err := a.cluster.leader(ctx)
			if err != nil {
				return wrong("%v", err)
			}
			return a.garbage(ctx, s, leader, electionNoise)
		}),
		steps("the killed node, started again", "ready, the cluster healthy", a.allBack),
	}, nil
}

// garbage measures an idle interval, kills a node if one is given, and then lets the clients loose on the others.
func (a *attack) garbage(ctx context.Context, s owned, victim *node, noise uint64) verdict {
	idle, err := a.growth(ctx, func() error { return harness.Pause(ctx, garbageTime) })
	if err != nil {
		return wrong("%v", err)
	}
	if victim != nil {
		victim.process.Load().Kill()
	}
	survivors := a.cluster.live()
	var stops []func()
	var goods []*goodCount
	for _, n := range survivors {
		good, stop := a.goodRequests(ctx, n, s)
		goods, stops = append(goods, good), append(stops, stop)
	}
	var counts map[int]int
	var strange string
	busy, err := a.growth(ctx, func() error {
		counts, strange = a.strangers(ctx, survivors)
		return nil
	})
	for _, stop := range stops {
		stop()
	}
	switch {
	case err != nil:
		return wrong("%v", err)
	case strange != "":
		return wrong("%s; all in all %v", strange, counts)
	case counts[401]+counts[429]+counts[503] < garbageAtLeast || counts[401] == 0:
		return wrong("too little happened: %v", counts)
	case busy > 2*idle+noise:
		return wrong("the log grew by %d, by %d when idle", busy, idle)
	}
	served := int64(0)
	for _, good := range goods {
		if failed := good.failed.Load(); failed != "" {
			return wrong("a good request meanwhile: %v", failed)
		}
		served += good.count.Load()
	}
	if served == 0 {
		return wrong("no good request was answered")
	}
	return right("%v, %d good; log +%d, idle +%d", counts, served, busy, idle)
}

// growth is how far the log grows while something happens. After a kill it waits for a leader, which alone knows.
func (a *attack) growth(ctx context.Context, during func() error) (uint64, error) {
	applied := func() (index uint64, err error) {
		err = harness.Poll(ctx, 10*time.Second, func() error {
			status, err := a.status(ctx)
			if err == nil && status.Leader == "" {
				err = fmt.Errorf("no leader in %+v", status)
			}
			index = status.applied()
			return err
		})
		return index, err
	}
	before, err := applied()
	if err != nil {
		return 0, err
	}
	if err := during(); err != nil {
		return 0, err
	}
	after, err := applied()
	return after - min(before, after), err
}

// strangers lets the clients loose, and counts their answers by status; strange is the first that none may get.
func (a *attack) strangers(ctx context.Context, nodes []*node) (counts map[int]int, strange string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: garbageClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	ends := time.Now().Add(garbageTime)
	counts = make(map[int]int)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range garbageClients {
		all.Go(func() {
			for time.Now().Before(ends) && ctx.Err() == nil {
				token := strangerToken()
				got := askBy(ctx, client, request{node: nodes[i%len(nodes)], path: currentPath, auth: "Session " + token})
				mu.Lock()
				counts[got.status]++
				if counts[got.status] == 1 {
					a.secrets.add("a garbage token", token)
				}
				switch got.status {
				case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable:
				default:
					if strange == "" {
						strange = fmt.Sprintf("%s %.200s", got, got.body)
					}
				}
				mu.Unlock()
				_ = harness.Pause(ctx, garbagePause)
			}
		})
	}
	all.Wait()
	return counts, strange
}

// allBack starts the nodes that were killed.
func (a *attack) allBack(ctx context.Context) verdict {
	for _, n := range a.nodes {
		if n.process.Load().Ended() {
			if err := a.cluster.start(n); err != nil {
				return wrong("%v", err)
			}
		}
	}
	for _, n := range a.nodes {
		if err := n.awaitReady(ctx); err != nil {
			return wrong("%v", err)
		}
	}
	if err := harness.Poll(ctx, 20*time.Second, func() error {
		status, err := a.status(ctx)
		if err == nil && !status.Healthy {
			err = fmt.Errorf("not healthy: %+v", status)
		}
		return err
	}); err != nil {
		return wrong("%v", err)
	}
	return right("healthy")
}
