package gossip

import (
	"bytes"
	"errors"
	"slices"

	"github.com/hashicorp/memberlist"
)

func newKeyring(keys [][32]byte) (*memberlist.Keyring, error) {
	secondary := make([][]byte, 0, len(keys))
	for _, k := range keys[1:] {
		secondary = append(secondary, slices.Clone(k[:]))
	}
	return memberlist.NewKeyring(secondary, slices.Clone(keys[0][:]))
}

// SetKeys replaces the gossip keys: the first is used to send, all are accepted.
// A new key has to be known everywhere before it becomes the first.
func (p *Pool) SetKeys(keys [][32]byte) error {
	if len(keys) == 0 {
		return errors.New("no gossip key")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return replaceKeys(p.ring, keys)
}

// replaceKeys never takes a key out of the middle: the ring would move those
// behind it in the very slice that packets are being decrypted with. Making a
// key the primary one puts it in front of a new slice, so after doing that to
// every key that stays, the others are at the end, and cutting off the end
// moves nothing.
func replaceKeys(ring *memberlist.Keyring, keys [][32]byte) error {
	for _, k := range keys {
		if err := ring.AddKey(slices.Clone(k[:])); err != nil {
			return err
		}
	}
	for _, k := range slices.Backward(keys) {
		if err := ring.UseKey(k[:]); err != nil {
			return err
		}
	}
	for {
		installed := ring.GetKeys()
		last := installed[len(installed)-1]
		if slices.ContainsFunc(keys, func(k [32]byte) bool { return bytes.Equal(k[:], last) }) {
			return nil
		}
		if err := ring.RemoveKey(last); err != nil {
			return err
		}
	}
}
