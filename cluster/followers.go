package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// followers is what the leader has heard from other nodes in this term, by their
// questions.
type followers struct {
	mu    sync.Mutex
	known map[string]follower
	// admitted is which data directories were let in under which ids in this term.
	admitted map[string]uint64
	began    time.Time // of this leader's term
	// withheld are whom an operator has demoted in this term: a question that was
	// on its way then still says that its node wants a vote.
	withheld map[string]bool

	// For the operator: comparisons of state hashes, and members that were found to
	// differ. Both go on from term to term.
	comparisons, mismatches atomic.Uint64
}

type follower struct {
	applied   uint64
	wantsVote bool
	withheld  bool // whatever it wants
	level     uint16
	heard     time.Time
	// steady is since when it has kept up without a break.
	steady time.Time
	// compared is the index at which its state hash was last compared with this
	// leader's, 0 if never; equal says what was found. differs is the first index
	// at which the hashes were found to differ, 0 while they are equal.
	compared uint64
	lately   time.Time // of that comparison
	equal    bool
	differs  uint64
}

// compare takes a comparison at index in.
func (f *follower) compare(index uint64, equal bool) {
	f.compared, f.equal = index, equal
	switch {
	case equal:
		f.differs = 0
	case f.differs == 0:
		f.differs = index
	}
}

// maxLag is how many entries behind the leader a node may be and still count as
// having kept up.
const maxLag = 1000

func (f *followers) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known, f.admitted = make(map[string]follower), make(map[string]uint64)
	f.withheld = nil
	f.began = time.Now()
}

// silence is how long nothing was heard of a node in this term.
func (f *followers) silence(id string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one, ok := f.known[id]; ok {
		return time.Since(one.heard)
	}
	return time.Since(f.began)
}

func (f *followers) get(id string) (follower, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.known[id]
	one.withheld = f.withheld[id]
	return one, ok
}

// withhold keeps this leader from promoting a node by itself, or lets it again.
func (f *followers) withhold(id string, vote bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !vote {
		delete(f.withheld, id)
		return
	}
	if f.withheld == nil {
		f.withheld = make(map[string]bool)
	}
	f.withheld[id] = true
}

// heard takes one question in and returns what is known now.
func (f *followers) hear(id string, q askBody, leaderApplied uint64, hashes *hashes, silence time.Duration) follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[string]follower)
	}
	one, known := f.known[id]
	now := time.Now()
	if !known || q.applied+maxLag < leaderApplied || now.Sub(one.heard) > silence {
		one.steady = now
	}
	one.applied, one.wantsVote, one.level, one.heard = q.applied, q.wantsVote, q.level, now
	was := one.differs != 0
	if ours, ok := hashes.at(q.hashIndex); ok {
		one.compare(q.hashIndex, ours == q.hash)
		one.lately = now
		f.comparisons.Add(1)
		if one.differs != 0 && !was {
			f.mismatches.Add(1)
		}
	}
	f.known[id] = one
	return one
}

// uncompared is since when the state of one of these was not compared with this
// leader's: the longest time of them all, within this term.
func (f *followers) uncompared(ids []string) (longest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		since := f.began
		if one := f.known[id]; one.lately.After(since) {
			since = one.lately
		}
		longest = max(longest, time.Since(since))
	}
	return longest
}

// split counts, among the voters, who is known to agree with this leader's state
// as of index and who is known to differ from it. The leader agrees with itself.
//
// A comparison from before index is no vote either way: a leader that goes wrong
// at index agrees with everybody until the others have told of that entry, and
// would send the first who does out of the cluster.
func (f *followers) split(voters []string, self string, index uint64) (agree, differ int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range voters {
		one := f.known[id]
		switch {
		case id == self || one.equal && one.compared >= index:
			agree++
		case one.differs != 0:
			differ++
		}
	}
	return agree, differ
}

var errReplaced = errors.New("another process has joined under its id meanwhile, from another data directory")

// admit remembers which data directory a node id was given to in this term.
func (f *followers) admit(id string, store uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.admitted == nil {
		f.admitted = make(map[string]uint64)
	}
	f.admitted[id] = store
}

// replaced says that a node id was given to another data directory than the one
// that asks: a process that was paused, say, came back after its id had been
// taken over. It must not go on, for both would vote under one name.
func (f *followers) replaced(id string, store uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	owner := f.admitted[id]
	return owner != 0 && owner != store
}

// serveAsk is the leader's end of a question: a proof, and what the leader
// thinks of the one who asked.
func (n *Node) serveAsk(ctx context.Context, from string, q askBody) (askAnswer, error) {
	if !n.Leading() {
		return askAnswer{}, errNotExecuted
	}
	if n.followers.replaced(from, q.store) {
		if n.refused.tell(from, errReplaced) {
			n.log.Warn("a node was told to stop", "node", from, "error", errReplaced)
		}
		return askAnswer{verdict: verdictRemoved}, nil
	}
	one := n.followers.hear(from, q, n.mark.applied(), &n.hashes, n.cfg.scaled(time.Second))
	a := askAnswer{verdict: n.judge(from, one)}
	p, err := n.rounds.join(ctx)
	if err != nil {
		return askAnswer{}, fmt.Errorf("%w: %w", errNotExecuted, err)
	}
	a.proof = p
	return a, nil
}

// judge compares by majority: a follower that differs from a leader with whom a
// majority agrees is wrong, and so is a leader from whom a majority differs.
func (n *Node) judge(from string, one follower) (verdict byte) {
	if n.removed(from) {
		verdict |= verdictRemoved
	}
	if one.differs == 0 {
		return verdict
	}
	voters := n.voters()
	agree, differ := n.followers.split(voters, n.cfg.NodeID, one.differs)
	majority := len(voters)/2 + 1
	if one.differs == one.compared { // once, not at every question
		n.log.Error("state hash of a node differs", "node", from, "index", one.differs, "agree", agree, "differ", differ)
	}
	switch {
	case agree >= majority:
		verdict |= verdictDiverged
	case differ >= majority:
		n.stop(fmt.Errorf("%w: %d of %d voters hold another state than this leader", ErrDiverged, differ, len(voters)))
	}
	return verdict
}

// removed says that a committed configuration does not hold id. One that may yet
// be undone must send nobody away.
func (n *Node) removed(id string) bool {
	r := n.raft.Load()
	f := r.GetConfiguration()
	return f.Error() == nil && r.CommitIndex() >= f.Index() &&
		!slices.ContainsFunc(f.Configuration().Servers, func(s raft.Server) bool { return string(s.ID) == id })
}

// obey turns the leader's verdict into the reason for which this node must end.
func (n *Node) obey(leader string, a askAnswer) error {
	switch ours := n.machine.Cluster(); {
	case ours != 0 && a.cluster != 0 && ours != a.cluster:
		return fmt.Errorf("%w: it is of cluster %016x, leader %s of %016x", ErrOtherCluster, ours, leader, a.cluster)
	case a.verdict&verdictRemoved != 0:
		return fmt.Errorf("%w: leader %s, term %d", ErrRemoved, leader, a.term)
	case a.verdict&verdictDiverged != 0:
		return fmt.Errorf("%w: leader %s compared the state hashes",
			ErrDiverged, leader)
	}
	return nil
}

// drop forgets a node: the next one of that id has to prove itself anew.
func (f *followers) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, id)
	delete(f.withheld, id)
}

// comparedAge is how long ago the member that was compared longest ago was; 0 on
// all nodes but the leader.
func (n *Node) comparedAge() time.Duration {
	if !n.Leading() {
		return 0
	}
	var others []string
	for _, s := range n.configuration().Servers {
		if string(s.ID) != n.cfg.NodeID {
			others = append(others, string(s.ID))
		}
	}
	return n.followers.uncompared(others)
}
