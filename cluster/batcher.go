package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchesEager may be in flight however small they are, batchesInFlight if
	// the next one is full. Small entries gain nothing from company: each costs
	// an fsync on every node, and waiting makes the next one bigger.
	batchesEager    = 1
	batchesInFlight = 3
	// gatherLimit is how long a batch waits at most for callers that were answered
	// a moment ago and are about to come back.
	gatherLimit = 2 * time.Millisecond
	// maxQueued and maxQueuedBytes bound what waits on one node.
	maxQueued      = 16384
	maxQueuedBytes = 64 << 20
)

// attempt is what became of one command in one attempt.
type attempt struct {
	reply []byte
	index uint64
	err   error // nil, errNotExecuted or errAttemptUnknown
}

// call is one caller's group of commands: one for a local caller, all of a
// forwarded batch for another node. done is closed when every result is in.
type call struct {
	results []attempt
	pending atomic.Int32
	done    chan struct{}
}

func newCall(n int) *call {
	c := &call{results: make([]attempt, n), done: make(chan struct{})}
	c.pending.Store(int32(n))
	return c
}

// A proposal waits in the queue until the batcher takes it or its caller
// withdraws it. Only one of them succeeds: a withdrawn command was never sent.
const (
	proposalQueued int32 = iota
	proposalTaken
	proposalWithdrawn
)

type proposal struct {
	command []byte
	call    *call
	slot    int
	// forwarded: it came from another node, and is never sent to a third.
	forwarded bool
	state     atomic.Int32

	// For the trace, written before finish: when it was taken, with how many others,
	// and whom it was sent to, if that is another node.
	taken   time.Time
	company int
	sentTo  string
}

func (p *proposal) withdraw() bool {
	return p.state.CompareAndSwap(proposalQueued, proposalWithdrawn)
}

// finish is called exactly once for each proposal that was taken.
func (p *proposal) finish(a attempt) {
	p.call.results[p.slot] = a
	if p.call.pending.Add(-1) == 0 {
		close(p.call.done)
	}
}

func finishAll(batch []*proposal, a attempt) {
	for _, p := range batch {
		p.finish(a)
	}
}

// batcher packs waiting commands: on the leader into log entries, elsewhere into
// calls to the leader. What arrives while all batches are in flight makes up the
// next one, which waits a moment for those who are about to come back (gather).
type batcher struct {
	send  func(batch []*proposal)
	tasks *tasks
	wake  chan struct{} // capacity 1
	// gathered tells gather that what it waits for is queued; capacity 1.
	gathered chan struct{}

	mu       sync.Mutex
	queue    []*proposal
	bytes    int
	inFlight int // batches
	unsolved int // commands in them
	// peak is how many commands were queued or in flight at a time, of late.
	peak int
	// wanted is how many queued commands gather waits for, 0 while it does not.
	wanted int
	closed bool
}

func newBatcher(tasks *tasks, send func([]*proposal)) *batcher {
	return &batcher{send: send, tasks: tasks, wake: make(chan struct{}, 1), gathered: make(chan struct{}, 1)}
}

// submit queues all commands of a call, or none.
func (b *batcher) submit(commands [][]byte, forwarded bool) (*call, []proposal, error) {
	c := newCall(len(commands))
	proposals := make([]proposal, len(commands))
	size := 0
	for i, command := range commands {
		p := &proposals[i]
		p.command, p.call, p.slot, p.forwarded = command, c, i, forwarded
		size += len(command)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, ErrDraining
	}
	if len(b.queue)+len(commands) > maxQueued || b.bytes+size > maxQueuedBytes {
		return nil, nil, ErrOverloaded
	}
	for i := range proposals {
		b.queue = append(b.queue, &proposals[i])
	}
	b.bytes += size
	b.peak = max(b.peak, len(b.queue)+b.unsolved)
	b.notify()
	if b.wanted > 0 && b.complete() {
		select {
		case b.gathered <- struct{}{}:
		default:
		}
	}
	return c, proposals, nil
}

func (b *batcher) notify() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns the next batch, empty if nothing waits.
func (b *batcher) take() []*proposal {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*proposal
	size, i := 0, 0
	for ; i < len(b.queue) && len(batch) < maxBatchCommands; i++ {
		p := b.queue[i]
		if len(batch) > 0 && size+len(p.command) > maxBatchBytes {
			break
		}
		b.bytes -= len(p.command)
		if p.state.CompareAndSwap(proposalQueued, proposalTaken) {
			size += len(p.command)
			batch = append(batch, p)
		}
	}
	clear(b.queue[:i])
	b.queue = b.queue[i:]
	if len(b.queue) == 0 {
		b.queue = nil
	} else {
		b.notify()
	}
	if len(batch) > 0 {
		now := time.Now()
		for _, p := range batch {
			p.taken, p.company = now, len(batch)
		}
		b.inFlight++
		b.unsolved += len(batch)
		// The peak is forgotten slowly, by an eighth and at least by one, so that it
		// follows the load down.
		b.peak = max(b.unsolved, b.peak-(b.peak+7)/8)
	}
	return batch
}

// run sends batches until ctx ends. What is queued then was not executed.
func (b *batcher) run(ctx context.Context) {
	defer b.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		if !b.mayGo() {
			continue
		}
		b.gather()
		batch := b.take()
		if len(batch) == 0 {
			continue
		}
		started := b.tasks.Go(func() {
			defer b.landed(len(batch))
			b.send(batch)
		})
		if !started {
			finishAll(batch, attempt{err: errNotExecuted})
			return
		}
	}
}

func (b *batcher) mayGo() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := len(b.queue) >= maxBatchCommands || b.bytes >= maxBatchBytes
	return len(b.queue) > 0 && (b.inFlight < batchesEager || full && b.inFlight < batchesInFlight)
}

// gather waits until as many commands are queued as were on their way of late,
// for gatherLimit at most: an entry of their own would cost those who come a
// moment later, and every node, more than the wait. A single caller never waits.
func (b *batcher) gather() {
	if !b.expect() {
		return
	}
	timer := time.NewTimer(gatherLimit)
	defer timer.Stop()
	select {
	case <-b.gathered:
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = 0
}

// expect says whether more commands are expected than are queued, and has submit
// tell once they are there.
func (b *batcher) expect() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.gathered: // of a wait that its timer had ended
	default:
	}
	b.wanted = min(b.peak-b.unsolved, maxBatchCommands)
	if b.complete() {
		b.wanted = 0
	}
	return b.wanted > 0
}

// complete says whether nothing is gained by waiting. The caller holds mu.
func (b *batcher) complete() bool { return len(b.queue) >= b.wanted || b.bytes >= maxBatchBytes }

func (b *batcher) landed(commands int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	b.unsolved -= commands
	if len(b.queue) > 0 {
		b.notify()
	}
}

func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for batch := b.take(); len(batch) > 0; batch = b.take() {
		finishAll(batch, attempt{err: errNotExecuted})
	}
}

// depth is how many commands wait.
func (b *batcher) depth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}
