package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// sealGrace is how long a removed key still opens what was sealed with it. It is
// far more than the grace of a rotated token, for which such seals are read.
const sealGrace = 5 * time.Minute

// keyring is the cluster keys of a node. The file is the truth: every change is
// in it before it is in use, and what is in use is all in the file.
type keyring struct {
	path string

	// changing serializes changes of the file and of what is in use.
	changing sync.Mutex
	// leading serializes the rotation steps that this node coordinates.
	leading sync.Mutex
	state   atomic.Pointer[keyState]
}

// keyState is never changed, only replaced.
type keyState struct {
	keys []pki.Key // the first signs
	// pending is the name of the key that is to become the first, "" for none.
	pending string
	retired []retiredKey
}

// retiredKey is believed by nobody any more.
type retiredKey struct {
	key   pki.Key
	until time.Time
}

func namesOf(keys []pki.Key) []string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.Name()
	}
	return names
}

// openKeys reads the key file and makes the data directory this node's.
func (n *Node) openKeys() error {
	keys, err := pki.ParseKeyFile(n.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("cluster key: %w", err)
	}
	id, err := n.claim(namesOf(keys))
	if err != nil {
		return err
	}
	n.keyring = &keyring{path: n.cfg.KeyFile}
	n.keyring.state.Store(&keyState{keys: keys, pending: id.Pending})
	return nil
}

// claim is claim by a node that may be running.
func (n *Node) claim(keys []string) (identity, error) {
	n.identity.Lock()
	defer n.identity.Unlock()
	return claim(n.cfg.DataDir, n.cfg.NodeID, keys)
}

// ReloadKeys reads the key file again and uses what it holds from now on. A file
// that is not good changes nothing, nor does one without the key that this node
// signs with: the others would not know it any more, nor it them.
func (n *Node) ReloadKeys() error {
	if n.keyring == nil {
		return nil
	}
	n.keyring.changing.Lock()
	defer n.keyring.changing.Unlock()
	keys, err := pki.ParseKeyFile(n.keyring.path)
	if err != nil {
		return err
	}
	return n.useKeys(keys)
}

// useKeys puts keys, which are those in the file, into use. The caller holds
// changing.
func (n *Node) useKeys(keys []pki.Key) error {
	before := n.keyring.state.Load()
	if slices.Equal(before.keys, keys) {
		return nil
	}
	names := namesOf(keys)
	if first := before.keys[0].Name(); !slices.Contains(names, first) {
		return fmt.Errorf("cluster key file %s lacks key %s, which this node signs with: put the new key first, "+
			"wait until every node has done so, and remove the old one then", n.keyring.path, first)
	}
	if !slices.Contains(before.keys, keys[0]) {
		return fmt.Errorf("cluster key file %s begins with key %s, which this node did not know until now, so others may not either: "+
			"make it the second one everywhere first", n.keyring.path, names[0])
	}
	// The directory first: it has to follow before the old key goes.
	id, err := n.claim(names)
	if err != nil {
		return err
	}
	if authority := n.authority.Load(); authority != nil {
		if err := authority.SetKeys(keys); err != nil {
			return err
		}
	}
	if pool := n.pool.Load(); pool != nil {
		if err := pool.SetKeys(gossipKeys(keys)); err != nil {
			return err
		}
	}
	n.keyring.state.Store(&keyState{keys: keys, pending: id.Pending, retired: before.retire(keys, time.Now())})
	dropped := 0
	if n.mux != nil {
		dropped = n.mux.DropPeers()
	}
	n.log.Info("cluster keys changed", "keys", names, "signs", names[0], "pending", id.Pending, "connections_dropped", dropped)
	return nil
}

// retire is what remains of removed keys under the keys that come.
func (s *keyState) retire(next []pki.Key, now time.Time) []retiredKey {
	var rest []retiredKey
	for _, r := range s.retired {
		if now.Before(r.until) && !slices.Contains(next, r.key) {
			rest = append(rest, r)
		}
	}
	for _, key := range s.keys {
		if !slices.Contains(next, key) {
			rest = append(rest, retiredKey{key: key, until: now.Add(sealGrace)})
		}
	}
	return rest
}

// KeyNames are the names of the valid cluster keys, that of the key which signs
// first. A name tells nothing about the key.
func (n *Node) KeyNames() []string {
	if n.keyring == nil {
		return nil
	}
	return namesOf(n.keyring.state.Load().keys)
}

func (n *Node) pendingKey() string {
	if n.keyring == nil {
		return ""
	}
	return n.keyring.state.Load().pending
}

// SealKeys are what the cluster's keys give for sealing what only the nodes of
// the cluster may open, the key that signs first. The last ones are of keys that
// were removed a moment ago: they open, and seal nothing.
func (n *Node) SealKeys() [][]byte {
	if n.keyring == nil {
		return nil
	}
	s := n.keyring.state.Load()
	seals := make([][]byte, 0, len(s.keys)+len(s.retired))
	add := func(key pki.Key) {
		seal := key.Seal()
		seals = append(seals, seal[:])
	}
	for _, key := range s.keys {
		add(key)
	}
	now := time.Now()
	for _, r := range s.retired {
		if now.Before(r.until) {
			add(r.key)
		}
	}
	return seals
}

func gossipKeys(keys []pki.Key) [][32]byte {
	secrets := make([][32]byte, len(keys))
	for i, key := range keys {
		secrets[i] = key.Gossip()
	}
	return secrets
}

// The steps of a rotation, on one node.
const (
	stepInstall byte = 1 // believe a further key
	stepUse     byte = 2 // sign with it
	stepRemove  byte = 3 // believe it alone
	stepGive    byte = 4 // tell it to another member
	stepLead    byte = 5 // coordinate a step, on the leader
)

// changeKeys makes one step on this node, in the file and in use. A step that
// was made before is done.
func (n *Node) changeKeys(change func(keys []pki.Key) ([]pki.Key, error)) error {
	if n.keyring == nil {
		return errors.New("this node has no cluster key file")
	}
	n.keyring.changing.Lock()
	defer n.keyring.changing.Unlock()
	inFile, err := pki.ParseKeyFile(n.keyring.path)
	if err != nil {
		return err
	}
	// What others have written into a file that they share with this node counts.
	if err := n.useKeys(inFile); err != nil {
		return err
	}
	next, err := change(slices.Clone(inFile))
	if err != nil || slices.Equal(next, inFile) {
		return err
	}
	if err := pki.ReplaceKeyFile(n.keyring.path, next); err != nil {
		return fmt.Errorf("%w; give this node's file its new content yourself and send SIGHUP", err)
	}
	return n.useKeys(next)
}

// installKey has this node believe a further key.
func (n *Node) installKey(key pki.Key) error {
	return n.changeKeys(func(keys []pki.Key) ([]pki.Key, error) {
		switch {
		case slices.Contains(keys, key):
			return keys, nil
		case len(keys) > 1:
			return nil, fmt.Errorf("its file holds %d keys already, and %s is none of them", len(keys), key.Name())
		}
		return append(keys, key), nil
	})
}

// preferKey has this node sign with the key of that name.
func (n *Node) preferKey(name string) error {
	return n.changeKeys(func(keys []pki.Key) ([]pki.Key, error) {
		i := slices.Index(namesOf(keys), name)
		if i < 0 {
			return nil, fmt.Errorf("it lacks key %s", name)
		}
		key := keys[i]
		return slices.Insert(slices.Delete(keys, i, i+1), 0, key), nil
	})
}

// keepKey has this node believe the key of that name alone.
func (n *Node) keepKey(name string) error {
	return n.changeKeys(func(keys []pki.Key) ([]pki.Key, error) {
		if keys[0].Name() != name {
			return nil, fmt.Errorf("it does not sign with key %s", name)
		}
		return keys[:1], nil
	})
}

// keyNamed finds a valid key.
func (n *Node) keyNamed(name string) (pki.Key, bool) {
	if n.keyring != nil {
		for _, key := range n.keyring.state.Load().keys {
			if key.Name() == name {
				return key, true
			}
		}
	}
	return pki.Key{}, false
}
