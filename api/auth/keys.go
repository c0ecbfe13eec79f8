package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"
)

// Keys is the set of keys of one file, as a server uses it. It is safe for concurrent use.
type Keys struct {
	path string
	set  atomic.Pointer[[]Key] // replaced whole by Reload, never changed in place
}

// OpenKeys reads the keys file at path. A missing file is an error: a server that nobody may call as a service is a
// server whose flag has a typing mistake.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{path: path}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. On an error the keys known before go on working.
func (k *Keys) Reload() error {
	set, err := ListKeys(k.path)
	if err != nil {
		return err
	}
	k.set.Store(&set)
	return nil
}

// Find returns the key whose text this is. The text is compared with every key of the file, whichever matches, so that
// the time tells nothing about the keys.
func (k *Keys) Find(text string) (Key, bool) {
	hash, ok := hashKeyText(text)
	if !ok {
		return Key{}, false
	}
	set := *k.set.Load()
	found := -1
	for i := range set {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], set[i].hash[:]), i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return set[found], true
}

// Holds says whether a key that Find has given is still in the file.
func (k *Keys) Holds(key Key) bool {
	set := *k.set.Load()
	held := 0
	for i := range set {
		held |= subtle.ConstantTimeCompare(key.hash[:], set[i].hash[:])
	}
	return held == 1
}

// Digest is 64 hex digits that are the same on all nodes whose files hold the same keys in whatever order. It tells
// nothing about them.
func (k *Keys) Digest() string {
	set := slices.Clone(*k.set.Load())
	slices.SortFunc(set, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	digest := sha256.New()
	for _, key := range set {
		// Neither a name nor a role holds a line feed, and the hash has a fixed length: no two sets write the same.
		digest.Write([]byte(key.Name + "\n" + string(key.Role) + "\n"))
		digest.Write(key.hash[:])
	}
	return hex.EncodeToString(digest.Sum(nil))
}
