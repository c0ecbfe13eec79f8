package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// RotationGrace is how long a token works on after it was rotated, so that the
// requests that were under way with it, and all who rotate it at once, still
// meet their session.
const RotationGrace = 30 * time.Second

// MaxUsed is how many used-up secrets of a session are remembered.
const MaxUsed = 8

// UsedHash is the beginning of the SecretHash of a secret that was rotated away:
// enough to know it again, too little to stand for it.
type UsedHash [16]byte

// UsedSecret is what is remembered of a secret that was rotated away.
type UsedSecret struct {
	Hash UsedHash
	Held uint32 // seconds for which it was the session's
}

func (h SecretHash) used() UsedHash { return UsedHash(h[:len(UsedHash{})]) }

// Rotation is what a session remembers of the secrets that it had before.
type Rotation struct {
	Used []UsedSecret // at most MaxUsed, the oldest first; never changed in place

	// While the grace of the last rotation lasts; zero before the first, and once
	// it has been forgotten.
	Former     SecretHash
	GraceUntil Time
	Sealed     []byte // the secret that is now, as only a holder of the former can read it
}

// Standing is what a secret is to a session.
type Standing uint8

const (
	Unknown Standing = iota // none that the session remembers: it proves nothing, and harms nobody
	Current
	InGrace // rotated away a moment ago: as good as the current one
	UsedUp  // rotated away before: whoever shows it, somebody else has the session
)

// Standing says what a secret with this hash is to s at a time. It compares in
// constant time.
func (s *Session) Standing(h SecretHash, now Time) Standing {
	used := 0
	mine := h.used()
	for i := range s.Rotation.Used {
		used |= subtle.ConstantTimeCompare(s.Rotation.Used[i].Hash[:], mine[:])
	}
	former := s.Rotation.GraceUntil != 0 && s.Rotation.Former.Equal(h)
	switch {
	case s.SecretHash.Equal(h):
		return Current
	case former && now < s.Rotation.GraceUntil:
		return InGrace
	case former || used == 1:
		return UsedUp
	}
	return Unknown
}

// Rotates says whether a rotation would draw a new secret: one that is younger
// than the grace is kept, and its session only extended.
func (s *Session) Rotates(now Time) bool { return now >= s.SecretSetAt.Add(RotationGrace) }

// Rotated returns s with the secret whose hash is next. Sealed is that secret
// under the one that it follows (SealSecret).
func (s Session) Rotated(next SecretHash, sealed []byte, at Time) Session {
	held := min(max(at.Sub(s.SecretSetAt)/time.Second, 0), math.MaxUint32)
	s.Rotation = Rotation{
		Used:   append(s.memorable(), UsedSecret{Hash: s.SecretHash.used(), Held: uint32(held)}),
		Former: s.SecretHash, GraceUntil: at.Add(RotationGrace), Sealed: slices.Clone(sealed),
	}
	s.SecretHash, s.SecretSetAt = next, at
	return s
}

// memorable are the used secrets that are kept when another comes. The one that
// was the session's for the shortest time goes: a thief who rotates as fast as he
// may must not make the session forget the secret that its user still has.
func (s *Session) memorable() []UsedSecret {
	used := slices.Clone(s.Rotation.Used)
	if len(used) < MaxUsed {
		return used
	}
	shortest := 0
	for i := range used {
		if used[i].Held < used[shortest].Held {
			shortest = i
		}
	}
	return slices.Delete(used, shortest, shortest+1)
}

// Settled returns s without what only the grace of a rotation needs.
func (s Session) Settled() Session {
	s.Rotation = Rotation{Used: s.Rotation.Used}
	return s
}

// SealKeyLen is the length in bytes of the cluster's part of a seal.
const SealKeyLen = 32

const (
	sealVersion = 1
	sealInfo    = "holdfast rotation v1 "
	// SealedLen is the length of a sealed secret: version, nonce, secret, tag.
	SealedLen = 1 + 12 + len(Secret{}) + 16
)

var errSealed = errors.New("a sealed secret cannot be opened")

// SealSecret encrypts the secret that follows old, for whoever shows old to a
// node of the cluster. The key is HKDF-SHA-256 (RFC 5869) of old, salted with
// the cluster's key and bound to the session; the cipher is AES-256-GCM. Neither
// a node's disk alone nor a token alone opens it.
func SealSecret(rand io.Reader, clusterKey []byte, id ID, old, next Secret) ([]byte, error) {
	aead, err := sealer(clusterKey, id, old)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, 1+aead.NonceSize(), SealedLen)
	sealed[0] = sealVersion
	if _, err := io.ReadFull(rand, sealed[1:]); err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return aead.Seal(sealed, sealed[1:], next[:], nil), nil
}

// OpenSecret is the reverse of SealSecret.
func OpenSecret(clusterKey []byte, id ID, old Secret, sealed []byte) (next Secret, err error) {
	if len(sealed) != SealedLen || sealed[0] != sealVersion {
		return Secret{}, errSealed
	}
	aead, err := sealer(clusterKey, id, old)
	if err != nil {
		return Secret{}, err
	}
	nonce, rest := sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, rest, nil)
	if err != nil {
		return Secret{}, errSealed
	}
	return Secret(plain), nil
}

func sealer(clusterKey []byte, id ID, old Secret) (cipher.AEAD, error) {
	if len(clusterKey) != SealKeyLen {
		return nil, fmt.Errorf("a seal needs a cluster key of %d bytes, not %d", SealKeyLen, len(clusterKey))
	}
	key, err := hkdf.Key(sha256.New, old[:], clusterKey, sealInfo+id.String(), 32)
	if err != nil {
		return nil, fmt.Errorf("derive a seal's key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive a seal's key: %w", err)
	}
	return cipher.NewGCM(block)
}
