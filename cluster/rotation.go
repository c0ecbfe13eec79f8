package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// The steps of the rotation of a cluster key, in their order. Each is made on
// every member, and one that was made before is done.
const (
	KeyInstall = "install" // every member believes the new key, too
	KeyUse     = "use"     // every member signs with it
	KeyRemove  = "remove"  // no member believes the old one
)

// KeyStep is how far a step has come.
type KeyStep struct {
	Step string `json:"step"`
	// Key is the name of the key that is to be the only one.
	Key string `json:"key"`
	// Done are the members that have made the step, Missing those that have not.
	Done    []string     `json:"done"`
	Missing []KeyMissing `json:"missing"`
}

// KeyMissing is a member that has not made a step, and why.
type KeyMissing struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (k *KeyStep) miss(id, reason string) {
	k.Missing = append(k.Missing, KeyMissing{ID: id, Reason: reason})
}

// memberKeys are the cluster keys of one member, by name.
type memberKeys struct {
	id string
	// keys are the valid ones, that which signs first; none if reason says why
	// they are not known.
	keys    []string
	pending string
	reason  string
}

func (m memberKeys) has(key string) bool   { return slices.Contains(m.keys, key) }
func (m memberKeys) signs(key string) bool { return len(m.keys) > 0 && m.keys[0] == key }

// rotation is the keys of all members, one state of
//
//	A  A  A ──install──> A,B  A,B  A,B ──use──> B,A  B,A  B,A ──remove──> B  B  B
//
// or between two of them, as members make a step one after the other and some are
// down meanwhile. A new key is pending on a member from the moment it is installed
// there until that member signs with it.
type rotation []memberKeys

// target is the key that is to be the only one: the pending one or, if none is
// any more, the one that all sign with. None is under way if all have it alone.
func (r rotation) target() (key string, err error) {
	var all, pending, first []string
	for _, m := range r {
		all = append(all, m.keys...)
		if len(m.keys) > 0 {
			first = append(first, m.keys[0])
		}
		if m.pending != "" {
			pending = append(pending, m.pending)
		}
	}
	for _, list := range []*[]string{&all, &pending, &first} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	switch {
	case len(all) > 2 || len(pending) > 1:
		return "", impossible("the members have more keys than one rotation needs (%s): take what is too much out of the key files, and send SIGHUP", r)
	case len(pending) == 1:
		return pending[0], nil
	case len(first) == 1:
		return first[0], nil
	default:
		return "", impossible("the members sign with different keys, none of which is new (%s): put the same key first in their key files, and send SIGHUP", r)
	}
}

// idle says that no member has two keys.
func (r rotation) idle() bool {
	for _, m := range r {
		if len(m.keys) > 1 {
			return false
		}
	}
	return true
}

func (r rotation) only(ok func(memberKeys) bool) rotation {
	return slices.DeleteFunc(slices.Clone(r), func(m memberKeys) bool { return !ok(m) })
}

// String lists members and the names of their keys.
func (r rotation) String() string {
	texts := make([]string, 0, len(r))
	for _, m := range r {
		texts = append(texts, m.id+": "+cmp.Or(strings.Join(m.keys, " "), m.reason))
	}
	return strings.Join(texts, ", ")
}

// lacking are those for which ok is not true, with the reason in words.
func (r rotation) lacking(ok func(memberKeys) bool, reason string) []string {
	var texts []string
	for _, m := range r {
		if m.keys == nil {
			texts = append(texts, m.id+" "+m.reason)
		} else if !ok(m) {
			texts = append(texts, m.id+" "+reason)
		}
	}
	return texts
}

// memberKeys asks every member of the configuration for the names of its keys.
func (n *Node) memberKeys(ctx context.Context) rotation {
	reports, failed := n.reports(ctx, n.configuredIDs())
	var r rotation
	for _, one := range reports {
		m := memberKeys{id: one.ID, keys: one.ClusterKeys, pending: one.PendingKey}
		if len(m.keys) == 0 {
			m.keys, m.reason = nil, "runs a version that cannot rotate keys"
		}
		r = append(r, m)
	}
	for _, id := range failed {
		r = append(r, memberKeys{id: id, reason: "does not answer"})
	}
	slices.SortFunc(r, func(a, b memberKeys) int { return cmp.Compare(a.id, b.id) })
	return r
}

// keyStepTimeout bounds a step on one member: it rewrites a file.
const keyStepTimeout = 2 * time.Second

// leadKeyStep makes a step on all members. Only the leader does, so that no two
// keys are drawn at a time.
func (n *Node) leadKeyStep(ctx context.Context, step string, given *pki.Key) (KeyStep, error) {
	if n.keyring == nil {
		return KeyStep{}, impossible("this cluster has no cluster key")
	}
	n.keyring.leading.Lock()
	defer n.keyring.leading.Unlock()
	if !n.Leading() {
		return KeyStep{}, errNotExecuted
	}
	r := n.memberKeys(ctx)
	target, err := r.target()
	if err != nil {
		return KeyStep{}, err
	}
	switch step {
	case KeyInstall:
		return n.leadInstall(ctx, r, target, given)
	case KeyUse:
		if lacking := r.lacking(func(m memberKeys) bool { return m.has(target) }, "lacks it"); lacking != nil {
			return KeyStep{}, impossible("key %s cannot be used before every member has it: %s", target, strings.Join(lacking, ", "))
		}
		return n.onMembers(ctx, KeyStep{Step: step, Key: target}, r, append([]byte{stepUse}, target...),
			func(m memberKeys) bool { return m.signs(target) }), nil
	case KeyRemove:
		if lacking := r.lacking(func(m memberKeys) bool { return m.signs(target) }, "does not sign with it"); lacking != nil {
			return KeyStep{}, impossible("the old key cannot be removed before every member signs with key %s: %s", target, strings.Join(lacking, ", "))
		}
		return n.onMembers(ctx, KeyStep{Step: step, Key: target}, r, append([]byte{stepRemove}, target...),
			func(m memberKeys) bool { return len(m.keys) == 1 }), nil
	default:
		return KeyStep{}, impossible("there is no step %q: want install, use or remove", step)
	}
}

// leadInstall begins a rotation, or goes on with one that is under way.
func (n *Node) leadInstall(ctx context.Context, r rotation, target string, given *pki.Key) (KeyStep, error) {
	key, err := n.newKey(ctx, r, target, given)
	if err != nil {
		return KeyStep{}, err
	}
	// This node first: it has to be able to tell those that are down now.
	if err := n.installKey(key); err != nil {
		return KeyStep{}, impossible("%s: %v", n.cfg.NodeID, err)
	}
	name := key.Name()
	return n.onMembers(ctx, KeyStep{Step: KeyInstall, Key: name}, r, append([]byte{stepInstall}, key[:]...),
		func(m memberKeys) bool { return m.has(name) || m.id == n.cfg.NodeID }), nil
}

// newKey is the key that is to be installed.
func (n *Node) newKey(ctx context.Context, r rotation, target string, given *pki.Key) (pki.Key, error) {
	switch {
	case given != nil && r.idle() && given.Name() == target:
		return pki.Key{}, impossible("key %s is in use already", target)
	case given != nil && (r.idle() || given.Name() == target):
		return *given, nil
	case given != nil:
		return pki.Key{}, impossible("a rotation to key %s is under way: finish it first", target)
	case r.idle():
		return pki.NewKey(rand.Reader)
	}
	if key, ok := n.keyNamed(target); ok {
		return key, nil
	}
	reason := error(nil)
	for _, m := range r {
		if !m.has(target) {
			continue
		}
		raw, err := n.callKeyStep(ctx, m.id, append([]byte{stepGive}, target...))
		if err == nil && len(raw) == pki.KeyBytes {
			return pki.Key(raw), nil
		}
		reason = err
	}
	return pki.Key{}, impossible("no member that answers has key %s, which the rotation under way is to: %v", target, reason)
}

// onMembers has every member that answers make a step which it has not made, this
// node last: it drops connections, that of who asked for the step perhaps.
func (n *Node) onMembers(ctx context.Context, result KeyStep, r rotation, body []byte, done func(memberKeys) bool) KeyStep {
	result.Done, result.Missing = []string{}, []KeyMissing{}
	own := func(m memberKeys) bool { return m.id == n.cfg.NodeID }
	other := func(m memberKeys) bool { return !own(m) }
	for _, m := range slices.Concat(r.only(other), r.only(own)) {
		switch {
		case done(m):
			result.Done = append(result.Done, m.id)
		case m.keys == nil:
			result.miss(m.id, m.reason)
		default:
			if _, err := n.callKeyStep(ctx, m.id, body); err != nil {
				result.miss(m.id, strings.TrimPrefix(err.Error(), m.id+" refused: "))
				continue
			}
			result.Done = append(result.Done, m.id)
		}
	}
	slices.Sort(result.Done)
	n.log.Info("step of a cluster key rotation", "step", result.Step, "key", result.Key, "done", result.Done,
		"missing", fmt.Sprint(result.Missing))
	return result
}
