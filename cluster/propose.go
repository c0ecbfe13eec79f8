package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// enqueueTimeout is how long Raft's main loop may take to accept an entry.
	enqueueTimeout = time.Second
	// retryPause is the wait between two attempts when no news comes first.
	retryPause = 25 * time.Millisecond
)

// Propose commits one command and returns the machine's reply and the index of
// its entry. Without a leader it waits for one. Any attempt whose outcome is
// unknown is repeated with the same bytes until ctx ends, so the machine may see
// a command more than once and must know it by its request id.
//
// ErrNoLeader and ErrDraining mean that the command did not and will not happen,
// ErrOverloaded too; ErrOutcomeUnknown that it may have, or may yet.
func (n *Node) Propose(ctx context.Context, command []byte) (reply []byte, index uint64, err error) {
	if len(command) > MaxCommandBytes {
		return nil, 0, ErrCommandTooLarge
	}
	began := time.Now()
	defer func() { n.metrics.committed(began, err) }()
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	ctx, end := n.traced(ctx, spanPropose)
	defer func() { end(err) }()
	sent := false
	for {
		reign, tried := n.reign.current(), time.Now()
		a, err := n.attempt(ctx, reign, command)
		switch {
		case err != nil:
			// The context ended, or the node is closing, before or after sending.
			return nil, 0, proposeError(err, sent)
		case a.err == nil:
			n.pauses.wrote()
			return a.reply, a.index, nil
		case errors.Is(a.err, errAttemptUnknown):
			sent = true
		}
		n.metrics.retries.Inc()
		n.pauses.lost(tried)
		if err := pause(ctx, reign, retryPause); err != nil {
			return nil, 0, proposeError(err, sent)
		}
	}
}

// errSent wraps the reason for which an attempt was given up after its command
// had left the queue.
type errSent struct{ error }

func (e errSent) Unwrap() error { return e.error }

func proposeError(err error, sent bool) error {
	if wrapped, ok := errors.AsType[errSent](err); ok {
		sent, err = true, wrapped.error
	}
	if sent {
		return ErrOutcomeUnknown.because(err)
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return ErrNoLeader.because(err)
}

// attempt waits until somebody leads, and joins the next batch to them.
func (n *Node) attempt(ctx, reign context.Context, command []byte) (attempt, error) {
	if err := n.awaitLeader(ctx, reign); err != nil {
		return attempt{}, err
	}
	queued := time.Now()
	c, proposals, err := n.batcher.submit([][]byte{command}, false)
	if err != nil {
		return attempt{}, err
	}
	select {
	case <-c.done:
		n.traceAttempt(ctx, queued, &proposals[0], c.results[0])
		return c.results[0], nil
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	cause := ctx.Err()
	if cause == nil {
		cause = ErrDraining
	}
	if proposals[0].withdraw() {
		return attempt{}, cause
	}
	// Taken: a result that is in already counts, otherwise it is unknown.
	select {
	case <-c.done:
		return c.results[0], nil
	default:
		return attempt{}, errSent{cause}
	}
}

// awaitLeader returns once this node leads or knows who does.
func (n *Node) awaitLeader(ctx, reign context.Context) error {
	for {
		if n.Leading() {
			return nil
		}
		if id, ok := n.Leader(); ok && id != n.cfg.NodeID {
			return nil
		}
		if err := pause(ctx, reign, 2*retryPause); err != nil {
			return err
		}
		if n.ctx.Err() != nil {
			return ErrDraining
		}
		reign = n.reign.current()
	}
}

// pause waits for the reign to change, but no longer than d.
func pause(ctx, reign context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-reign.Done():
		return nil
	case <-timer.C:
		return nil
	}
}

// bounded gives a context a deadline if it has none.
func (n *Node) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, n.cfg.RequestTimeout)
}

// sendBatch is the batcher's send: one log entry here, one call elsewhere. It
// returns when every proposal is finished.
func (n *Node) sendBatch(batch []*proposal) {
	n.metrics.batchCommands.Observe(float64(len(batch)))
	if n.Leading() {
		n.commit(batch)
		return
	}
	// One hop only: what came from another node goes back to it.
	own := batch[:0:0]
	for _, p := range batch {
		if p.forwarded {
			p.finish(attempt{err: errNotExecuted})
		} else {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		return
	}
	reign := n.reign.current()
	leader, ok := n.Leader()
	if !ok || leader == n.cfg.NodeID {
		finishAll(own, attempt{err: errNotExecuted})
		return
	}
	n.forward(reign, leader, own)
}

// commit puts a batch into one log entry and distributes the machine's replies.
func (n *Node) commit(batch []*proposal) {
	commands := make([][]byte, len(batch))
	for i, p := range batch {
		commands[i] = p.command
	}
	future := n.raft.Load().ApplyLog(raft.Log{Data: encodeBatch(n.clock.now(), commands)}, enqueueTimeout)
	if err := n.await(future); err != nil {
		finishAll(batch, attempt{err: attemptError(err)})
		return
	}
	result, ok := future.Response().(outcome)
	if !ok || len(result.replies) != len(batch) {
		// Committed, but not answered by the machine: it halted.
		finishAll(batch, attempt{err: errAttemptUnknown})
		return
	}
	for i, p := range batch {
		p.finish(attempt{reply: result.replies[i], index: result.index})
	}
}

// attemptError tells what was certainly not executed from all else.
func attemptError(err error) error {
	for _, never := range []error{raft.ErrNotLeader, raft.ErrEnqueueTimeout, raft.ErrLeadershipTransferInProgress} {
		if errors.Is(err, never) {
			return errNotExecuted
		}
	}
	return errAttemptUnknown
}

// forward sends a batch to the leader in one call. The call is given up when the
// leader changes: whoever leads next may commit it sooner.
func (n *Node) forward(reign context.Context, leader string, batch []*proposal) {
	n.metrics.forwarded.Add(float64(len(batch)))
	commands := make([][]byte, len(batch))
	for i, p := range batch {
		commands[i], p.sentTo = p.command, leader
	}
	ctx, cancel := context.WithTimeout(reign, n.cfg.RequestTimeout)
	defer cancel()
	results, err := n.callPropose(ctx, leader, commands)
	switch {
	case errors.Is(err, errNotExecuted):
		finishAll(batch, attempt{err: errNotExecuted})
	case err != nil || len(results) != len(batch):
		finishAll(batch, attempt{err: errAttemptUnknown})
	default:
		for i, p := range batch {
			p.finish(results[i])
		}
	}
}

// servePropose is the leader's end of forward.
func (n *Node) servePropose(ctx context.Context, commands [][]byte) ([]attempt, error) {
	if !n.awaitLeading(ctx) {
		return nil, errNotExecuted
	}
	c, proposals, err := n.batcher.submit(commands, true)
	if err != nil {
		return nil, errNotExecuted
	}
	select {
	case <-c.done:
		return c.results, nil
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	for i := range proposals {
		if proposals[i].withdraw() {
			proposals[i].finish(attempt{err: errNotExecuted})
		}
	}
	select {
	case <-c.done:
		return c.results, nil
	default:
		return nil, errAttemptUnknown
	}
}

// awaitLeading lets a caller wait for the opening entry of a leader that was
// elected a moment ago.
func (n *Node) awaitLeading(ctx context.Context) bool {
	for {
		reign := n.reign.current()
		if n.Leading() {
			return true
		}
		r := n.raft.Load()
		if r == nil || r.State() != raft.Leader || n.ctx.Err() != nil {
			return false
		}
		if pause(ctx, reign, retryPause) != nil {
			return false
		}
	}
}
