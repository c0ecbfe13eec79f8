package pki

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// KeyBytes is the length of a cluster key; its text is twice as many hex digits.
const KeyBytes = 32

// Key is a cluster key: the one secret that an operator hands out. Whoever holds
// it can be any node of the cluster.
type Key [KeyBytes]byte

// What each derivation is for. A purpose is part of the format: another text is
// another cluster.
const (
	purposeName      = "holdfast/1 cluster name"
	purposeGossip    = "holdfast/1 gossip key"
	purposeAuthority = "holdfast/1 certificate authority"
	purposeSeal      = "holdfast/1 seal key"
)

const hidden = "cluster-key(hidden)"

// NewKey draws a key; random is crypto/rand.Reader outside of tests.
func NewKey(random io.Reader) (Key, error) {
	var k Key
	if _, err := io.ReadFull(random, k[:]); err != nil {
		return Key{}, fmt.Errorf("draw a cluster key: %w", err)
	}
	return k, nil
}

// Name is what the key's cluster is called in certificates: 16 hex digits that
// tell nothing about the key. It is not the numeric cluster id of the log.
func (k Key) Name() string {
	name := k.derive(purposeName)
	return hex.EncodeToString(name[:8])
}

// Gossip is the key under which gossip is encrypted, AES-256.
func (k Key) Gossip() [32]byte { return k.derive(purposeGossip) }

// Seal is the key under which nodes seal, for each other alone, what goes through
// the log.
func (k Key) Seal() [32]byte { return k.derive(purposeSeal) }

// Reveal is the key's text, 64 lower-case hex digits: a line of a key file.
func (k Key) Reveal() string { return hex.EncodeToString(k[:]) }

// derive is HKDF-SHA256 (RFC 5869) without a salt: the key is uniform already.
func (k Key) derive(purpose string) [32]byte {
	raw, err := hkdf.Key(sha256.New, k[:], nil, purpose, 32)
	if err != nil {
		// Only for lengths that SHA-256 cannot give.
		panic("pki: derive " + purpose + ": " + err.Error())
	}
	return [32]byte(raw)
}

// String and its kin keep the key out of logs, errors and documents.
func (Key) String() string { return hidden }

// Format hides the key from every verb: %x asks no String method.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, hidden) }

// GoString hides the key from %#v.
func (Key) GoString() string { return hidden }

// LogValue hides the key from slog.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the key from JSON and YAML.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }
