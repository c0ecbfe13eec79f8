package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// ahead lets a leader's followers write new entries while the leader's own disk
// still does. The library writes first and sends afterwards, so that a lone
// client waits for two disks, one after the other; the Raft dissertation (10.2.1)
// allows both at once.
//
// Only the sending is early. The answer is kept until the library, whose own
// append has returned by then, asks for exactly these entries; so neither the
// leader nor a follower counts for a majority sooner than it did. A leader whose
// append fails stops, and never puts other entries at these places in its term.
//
// The library counts an answer as contact when it takes it, so a leader with a
// slow disk may hold its lease for that much longer. Nothing here trusts a lease.
//
//	logStore.StoreLogs ──┬── this node's disk ──────────────┬─ guard.AppendEntries
//	                     └── send ── follower's disk ── answer ┘   takes the answer
type ahead struct {
	guard *guard

	mu    sync.Mutex
	lanes map[raft.ServerID]*lane
}

// lane is what this leader knows of one follower's log.
type lane struct {
	// call is the next one, without its entries: its previous entry is the last
	// of which the follower has said that its log agrees with the leader's. The
	// term is 0 if there is none.
	call    raft.AppendEntriesRequest
	address raft.ServerAddress
	// busy: a call with entries is under way, so that end is about to move.
	busy bool
	// early was sent and not asked for yet.
	early *earlyCall
}

// earlyCall is one early call. answer and err are set before done is closed.
type earlyCall struct {
	term, prev, prevTerm, last uint64
	entries                    int

	done   chan struct{}
	answer raft.AppendEntriesResponse
	err    error
}

func newAhead(g *guard) *ahead {
	return &ahead{guard: g, lanes: make(map[raft.ServerID]*lane)}
}

// send is called with what the log is about to append, by Raft's main loop: it
// must not wait. On a follower it does nothing.
func (a *ahead) send(logs []*raft.Log) {
	r := a.guard.raft.Load()
	if r == nil || len(logs) == 0 || r.State() != raft.Leader {
		return
	}
	term, commit := r.CurrentTerm(), r.CommitIndex()
	for _, l := range logs {
		// Changes of the membership keep to the library's own order.
		if l.Type != raft.LogCommand || l.Term != term {
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, l := range a.lanes {
		if l.busy || l.early != nil || l.call.Term != term || l.call.PrevLogEntry+1 != logs[0].Index {
			continue
		}
		args := l.call
		args.Entries, args.LeaderCommitIndex = logs, commit
		early := &earlyCall{
			term: term, prev: args.PrevLogEntry, prevTerm: args.PrevLogTerm,
			last: logs[len(logs)-1].Index, entries: len(logs), done: make(chan struct{}),
		}
		address := l.address
		started := a.guard.tasks.Go(func() {
			defer close(early.done)
			early.err = a.guard.NetworkTransport.AppendEntries(id, address, &args, &early.answer)
		})
		if started {
			l.early = early
		}
	}
}

// begin notes that the library makes a call with entries, and hands over what was
// sent early if that is what the call is about.
func (a *ahead) begin(id raft.ServerID, args *raft.AppendEntriesRequest) *earlyCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lanes[id]
	if l == nil {
		l = new(lane)
		a.lanes[id] = l
	}
	l.busy = true
	early := l.early
	l.early = nil
	if early == nil || !early.begins(args) {
		return nil
	}
	return early
}

// begins: the call's entries are those that were sent early, or begin with them.
func (e *earlyCall) begins(args *raft.AppendEntriesRequest) bool {
	if e.term != args.Term || e.prev != args.PrevLogEntry || e.prevTerm != args.PrevLogTerm || e.entries > len(args.Entries) {
		return false
	}
	last := args.Entries[e.entries-1]
	return last.Index == e.last && last.Term == e.term
}

// end takes in how that call ended.
func (a *ahead) end(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, success bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lanes[id]
	l.busy, l.call = false, raft.AppendEntriesRequest{}
	if !success {
		return
	}
	last := args.Entries[len(args.Entries)-1]
	l.address, l.call = target, *args
	l.call.Entries, l.call.PrevLogEntry, l.call.PrevLogTerm = nil, last.Index, last.Term
}

// append makes a call with entries. What was sent early is not sent again.
func (a *ahead) append(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) (err error) {
	early := a.begin(id, args)
	defer func() { a.end(id, target, args, err == nil && resp.Success) }()
	if early == nil {
		return a.guard.NetworkTransport.AppendEntries(id, target, args, resp)
	}
	<-early.done
	if early.err != nil {
		return a.guard.NetworkTransport.AppendEntries(id, target, args, resp)
	}
	if !early.answer.Success || early.entries == len(args.Entries) {
		*resp = early.answer
		return nil
	}
	rest := *args
	rest.PrevLogEntry, rest.PrevLogTerm, rest.Entries = early.last, early.term, args.Entries[early.entries:]
	return a.guard.NetworkTransport.AppendEntries(id, target, &rest, resp)
}
