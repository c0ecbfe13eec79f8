package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Member is a node that is alive as far as gossip knows.
type Member struct {
	ID string
	// GossipAddr and ClusterAddr are HOST:PORT.
	GossipAddr, ClusterAddr string
	Meta                    Meta
}

// Conflict is a second process that claims a node's id.
type Conflict struct {
	ID string
	// Known is the gossip address that is believed, Other the one that is not.
	Known, Other string
	Last         time.Time
	// Count of announcements that were refused.
	Count uint64
}

const (
	// conflictMemory: a conflict that is not seen again for this long is over.
	// A node that restarted under a new address makes one of a few seconds.
	conflictMemory = time.Minute
	// conflictLog is how often a lasting conflict is logged.
	conflictLog = time.Minute
	// maxConflicts are remembered.
	maxConflicts = 64
)

// roster is who is there. memberlist tells it under its own lock, so nothing
// here may call back or wait.
type roster struct {
	log *slog.Logger

	mu        sync.Mutex
	members   map[string]Member
	conflicts map[conflictKey]*conflict
	own       []byte // encoded Meta
	// changed is what Pool.Changed hands out, moved wakes the pool's own loop.
	changed, moved chan struct{}
}

type conflictKey struct{ id, other string }

type conflict struct {
	Conflict
	logged time.Time
}

func newRoster(log *slog.Logger) *roster {
	return &roster{
		log: log, members: make(map[string]Member), conflicts: make(map[conflictKey]*conflict),
		changed: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
}

// signal is coalesced: a receiver that is late gets one for all.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// NotifyAlive refuses announcements that make no sense, before memberlist
// believes them.
func (r *roster) NotifyAlive(n *memberlist.Node) error {
	_, err := memberOf(n)
	return err
}

// NotifyJoin tells of a node that is there now, or again.
func (r *roster) NotifyJoin(n *memberlist.Node) { r.set(n) }

// NotifyUpdate tells of new metadata.
func (r *roster) NotifyUpdate(n *memberlist.Node) { r.set(n) }

// NotifyLeave tells of a node that left or died.
func (r *roster) NotifyLeave(n *memberlist.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, n.Name)
	signal(r.changed)
	signal(r.moved)
}

func (r *roster) set(n *memberlist.Node) {
	m, err := memberOf(n)
	if err != nil {
		return // NotifyAlive has refused it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m.ID] = m
	delete(r.conflicts, conflictKey{m.ID, m.GossipAddr})
	signal(r.changed)
	signal(r.moved)
}

// NotifyConflict tells of an announcement under a name that is taken.
func (r *roster) NotifyConflict(existing, other *memberlist.Node) {
	now := time.Now()
	key := conflictKey{existing.Name, hostPort(other.Addr, other.Port)}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.conflicts[key]
	if c == nil {
		r.forgetConflicts(now)
		if len(r.conflicts) >= maxConflicts {
			return
		}
		c = &conflict{Conflict: Conflict{ID: key.id, Other: key.other}}
		r.conflicts[key] = c
	}
	c.Known, c.Last = hostPort(existing.Addr, existing.Port), now
	c.Count++
	if now.Sub(c.logged) >= conflictLog {
		c.logged = now
		r.log.Warn("a node id is announced from two addresses", "node", c.ID, "known", c.Known, "refused", c.Other)
	}
}

func (r *roster) forgetConflicts(now time.Time) {
	maps.DeleteFunc(r.conflicts, func(_ conflictKey, c *conflict) bool { return now.Sub(c.Last) > conflictMemory })
}

func (r *roster) listConflicts() []Conflict {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetConflicts(time.Now())
	list := make([]Conflict, 0, len(r.conflicts))
	for _, c := range r.conflicts {
		list = append(list, c.Conflict)
	}
	slices.SortFunc(list, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Other, b.Other))
	})
	return list
}

func (r *roster) list() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
}

func (r *roster) find(id string) (Member, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.members[id]
	return m, ok
}

// memberOf copies what memberlist knows: its record changes later.
func memberOf(n *memberlist.Node) (Member, error) {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	if meta.ID != n.Name {
		return Member{}, fmt.Errorf("%w: of node %q, announced as %q", errMeta, meta.ID, n.Name)
	}
	m := Member{ID: n.Name, GossipAddr: hostPort(n.Addr, n.Port), Meta: meta}
	if m.ClusterAddr, err = completeAddr(meta.ClusterAddr, n.Addr); err != nil {
		return Member{}, err
	}
	return m, nil
}

// completeAddr puts the gossip host in where the cluster address has none.
func completeAddr(addr string, gossip net.IP) (string, error) {
	if addr == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", errors.Join(errMeta, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = gossip.String()
	}
	return net.JoinHostPort(host, port), nil
}

func hostPort(ip net.IP, port uint16) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(port)))
}

// The rest is what memberlist asks of a delegate. Only the metadata are used.

// NodeMeta is this node's own, checked for its length where it was set.
func (r *roster) NodeMeta(int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own
}

func (r *roster) setOwn(encoded []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = encoded
}

// NotifyMsg drops messages: nobody sends any.
func (r *roster) NotifyMsg([]byte) {}

// GetBroadcasts has none.
func (r *roster) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has none.
func (r *roster) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to merge.
func (r *roster) MergeRemoteState([]byte, bool) {}
