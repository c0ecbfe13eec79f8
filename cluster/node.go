package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/holdfastdb/holdfast/cluster/gossip"
	"github.com/holdfastdb/holdfast/cluster/pki"
	"github.com/holdfastdb/holdfast/cluster/quiet"
	"github.com/holdfastdb/holdfast/cluster/wire"
)

// Node is one member of a replicated log.
type Node struct {
	cfg     Config
	log     *slog.Logger
	machine Machine

	network   Network
	peers     Peers
	client    rpc
	keyring   *keyring                    // nil without a KeyFile
	mux       *wire.Mux                   // nil with an injected Network
	pool      atomic.Pointer[gossip.Pool] // the same
	authority atomic.Pointer[pki.Keyed]   // the same
	logs      *logStore
	logFile   *raftboltdb.BoltStore // nil with injected stores
	stable    *stableStore
	logCache  *logCache
	snapshots *snapshotStore
	watch     *watchdog
	files     []io.Closer // stores that Open opened, closed last

	mark      *watermark
	clock     logClock
	hashes    hashes
	reign     *reign
	batcher   *batcher
	rounds    *rounds
	fresh     *freshness
	followers followers
	pauses    pauses
	counts    snapshotCounts
	metrics   *nodeMetrics
	hooks     hooks

	// empty: the stores remembered nothing when the node was opened.
	empty      bool
	starting   sync.Mutex // held while Raft is started
	started    chan struct{}
	raft       atomic.Pointer[raft.Raft] // nil until this node is in a cluster
	guard      atomic.Pointer[guard]
	leads      atomic.Uint64 // the term whose opening entry this leader has applied
	joining    turn          // one change of the membership at a time
	identity   sync.Mutex    // one change of identity.json at a time
	foreigners quiet.Log     // nodes of other clusters that were named
	refused    refusals
	// nonVoter: an operator has taken this node's vote; see identity.go.
	nonVoter atomic.Bool
	store    uint64 // of this data directory
	// wellSince is since when this node has been fresh without a break.
	wellSince  atomic.Pointer[time.Time]
	draining   atomic.Bool
	drainAsked sync.Once

	ctx         context.Context // the node's own life; done when Close or stop began
	cancel      context.CancelFunc
	raftStopped chan struct{}
	futures     atomic.Int64
	tasks       tasks

	stopping sync.Once
	done     chan struct{}
	reason   atomic.Pointer[error]
	closing  sync.Once
	closed   error
}

// hooks let tests stop a node at a place that matters. All may be nil.
type hooks struct {
	roundTaken atomic.Pointer[func()] // a round has taken its index and asked nobody yet
}

// rpc is the peer RPC's client and the listener that belongs to it.
type rpc interface {
	caller
	Close() error
}

// Open starts a node. It returns once the node listens; whether it is in a
// cluster yet, and fresh, is what Ready says. The machine must not be closed
// before the node. An error leaves nothing running.
func Open(cfg Config, machine Machine) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &Node{
		cfg:         cfg,
		log:         cfg.Logger.With("component", "cluster"),
		machine:     machine,
		reign:       newReign(),
		rounds:      newRounds(),
		fresh:       newFreshness(),
		started:     make(chan struct{}),
		joining:     newTurn(),
		raftStopped: make(chan struct{}),
		done:        make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.batcher = newBatcher(&n.tasks, n.sendBatch)
	n.watch = newWatchdog(cfg.DiskTimeout, n.stop)
	index, _, stamp := machine.Applied()
	n.mark = newWatermark(index)
	n.clock.forward(stamp)
	if err := n.openParts(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// openParts opens everything in order of dependence. Close undoes what is there.
func (n *Node) openParts() error {
	var err error
	if n.metrics, err = newNodeMetrics(n, n.cfg.Metrics); err != nil {
		return err
	}
	n.pauses.over = func(took time.Duration) { n.metrics.pauses.Observe(took.Seconds()) }
	if err := n.openNetwork(); err != nil {
		return err
	}
	id, err := readIdentity(n.cfg.DataDir)
	if err != nil {
		return err
	}
	n.nonVoter.Store(id.NonVoter)
	n.store = id.store()
	if err := n.openStores(); err != nil {
		return err
	}
	if n.client, err = n.openRPC(); err != nil {
		return err
	}
	if err := n.openPeers(); err != nil {
		return err
	}
	n.tasks.Go(func() { n.watch.run(n.ctx) })
	n.tasks.Go(func() { n.batcher.run(n.ctx) })
	n.tasks.Go(n.runFreshness)
	n.tasks.Go(n.watchForeigners)
	if n.empty {
		n.tasks.Go(n.settle)
		return nil
	}
	n.starting.Lock()
	defer n.starting.Unlock()
	return n.startRaft()
}

func (n *Node) openStores() error {
	logs, stable := n.cfg.Logs, n.cfg.Stable
	if logs == nil {
		file, err := openInspected(n.cfg.DataDir, n.cfg.Walk)
		if err != nil {
			return err
		}
		n.files, n.logFile = append(n.files, file), file
		n.tasks.Go(func() { file.RunMetrics(n.ctx, 0) })
		logs, stable = file, file
	}
	store := newLogStore(logs, n.cfg.LogCacheBytes, n.watch, n.stop)
	store.ahead, store.end = n.sendAhead, n.endRaft
	store.appended = func(took time.Duration) { n.metrics.appends.Observe(took.Seconds()) }
	n.logs, n.logCache = store, store.cache
	n.stable = &stableStore{StableStore: stable, watch: n.watch, fail: n.stop, end: n.endRaft}
	spool, err := openSpool(n.cfg.DataDir)
	if err != nil {
		return err
	}
	n.snapshots = &snapshotStore{
		machine: n.machine, spool: spool, logs: n.logs, mark: n.mark, watch: n.watch, fail: n.stop,
		counts: &n.counts, received: make(map[string]*sink),
	}
	if n.empty, err = wiped(n.logs, n.stable); err != nil {
		return err
	}
	return n.checkStores()
}

func (n *Node) sendAhead(logs []*raft.Log) {
	if g := n.guard.Load(); g != nil {
		g.ahead.send(logs)
	}
}

// checkStores refuses a log that begins behind a hole: its table was removed or
// is an older copy, and what is between them is nowhere on this node.
func (n *Node) checkStores() error {
	first, err := n.logs.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if durable, _, _, _ := n.machine.Durable(); first > durable+1 {
		return fmt.Errorf("%w: the log begins at %d and the table ends at %d: the table is not the one that belongs to this log",
			ErrCorrupt, first, durable)
	}
	// All of it, before Raft sees any: Raft panics at an entry that it cannot read.
	if _, err := n.logs.scrub(n.ctx, n.durable, func() {}); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	_, last, err := n.logs.ends()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	var newest raft.Log
	if last > 0 {
		if err := n.logs.reread(last, &newest); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
	}
	return n.stable.recall(newest)
}

// endRaft ends the goroutine of Raft's that has met what this node stops for: the
// library would panic with it, and the process would end without its reason.
func (n *Node) endRaft() {
	if n.raft.Load() != nil {
		runtime.Goexit()
	}
}

// startRaft opens the transport and starts Raft. The caller holds n.starting.
func (n *Node) startRaft() error {
	if n.raft.Load() != nil {
		return nil
	}
	if n.ctx.Err() != nil {
		return ErrDraining
	}
	stream, err := newStream(n.cfg.NodeID, n.network, n.machine.Cluster, n.foreign)
	if err != nil {
		return err
	}
	notices := make(chan bool, 8)
	config := n.cfg.raftConfig(notices)
	g := newGuard(stream, n.cfg.scaled(transportTimeout), config.Logger, &n.tasks)
	n.guard.Store(g)
	fsm := &raftFSM{
		machine: n.machine, mark: n.mark, clock: &n.clock, hashes: &n.hashes, watch: n.watch,
		snapshots: n.snapshots, fail: n.stop,
	}
	var r *raft.Raft
	err = sound(func() (err error) {
		r, err = raft.NewRaft(config, fsm, n.logs, n.stable, n.snapshots, g)
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start raft: %w", err), g.Close())
	}
	g.raft.Store(r)
	n.raft.Store(r)
	close(n.started)
	n.tasks.Go(func() { n.watchLeadership(notices) })
	n.tasks.Go(func() { n.watchLeader(r) })
	n.tasks.Go(func() { n.runCompactor(r) })
	n.tasks.Go(n.watchRemoval)
	if n.pristine() {
		n.tasks.Go(n.finishForming)
	}
	n.reign.change()
	return nil
}

// stop ends the node for a reason that it found itself. The first one counts.
// It never waits: its callers are in the middle of what hangs. The transport goes
// at once, which is how a leader whose disk hangs makes room for another.
func (n *Node) stop(reason error) {
	n.stopping.Do(func() {
		n.reason.Store(&reason)
		n.log.Error("this node takes itself out of service", "error", reason)
		n.cancel()
		n.reign.end()
		if g := n.guard.Load(); g != nil {
			n.tasks.Go(func() { _ = g.Close() })
		}
		close(n.done)
	})
}

// Done is closed when the node has stopped itself; Err says why. The process
// should end then, without waiting long for Close: a disk may hang.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is the reason for which the node stopped itself, nil while it has not.
func (n *Node) Err() error {
	if reason := n.reason.Load(); reason != nil {
		return *reason
	}
	return nil
}

// closeGrace is how long Close waits for entries under way.
const closeGrace = time.Second

// Close stops the node and waits for everything that it started. Proposals that
// wait are answered. It does not hand leadership away; Drain does. After the
// node has stopped itself because of its disk, Close gives up after a while.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.shutdown() })
	return n.closed
}

func (n *Node) shutdown() error {
	n.cancel()
	n.reign.end()
	n.settleFutures()
	var faults []error
	n.starting.Lock() // nobody starts Raft from here on: the context is done
	r := n.raft.Load()
	n.starting.Unlock()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		// The transport goes before Raft, which waits for its calls: one to a peer
		// that hangs takes seconds, an archive's minutes.
		g := n.guard.Load()
		if g != nil {
			faults = append(faults, g.Close())
		}
		if r != nil {
			_ = r.Shutdown().Error()
		}
		close(n.raftStopped)
		if g != nil {
			g.stream.handled.Wait()
		}
		if n.client != nil {
			faults = append(faults, n.client.Close())
		}
		if n.peers != nil {
			faults = append(faults, n.peers.Close())
		}
		if n.network != nil {
			faults = append(faults, n.network.Close())
		}
		n.tasks.close()
		n.tasks.wait()
		for _, file := range n.files {
			faults = append(faults, file.Close())
		}
		if n.metrics != nil {
			n.metrics.close()
		}
	}()
	if !errors.Is(n.Err(), ErrDisk) {
		<-finished
		return errors.Join(faults...)
	}
	timer := time.NewTimer(n.cfg.DiskTimeout)
	defer timer.Stop()
	select {
	case <-finished:
		return errors.Join(faults...)
	case <-timer.C:
		return fmt.Errorf("close the node: %w", n.Err())
	}
}

// settleFutures waits for entries that Raft has accepted: at shutdown the
// library forgets those that are on their way to the machine, and never answers.
func (n *Node) settleFutures() {
	limit := time.NewTimer(n.cfg.scaled(closeGrace))
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n.futures.Load() > 0 {
		select {
		case <-tick.C:
		case <-limit.C:
			return
		}
	}
}
