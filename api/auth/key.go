package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"
)

// Role is what a key may do. The values are stored in keys files and never change.
type Role string

const (
	// RoleService is a backend: everything of every user.
	RoleService Role = "service"
	// RoleOperator is a person or a tool that runs the cluster: all that a service may, and /cluster/….
	RoleOperator Role = "operator"
)

const (
	servicePrefix  = "hfk_"
	operatorPrefix = "hfo_"
	keySecretBytes = 32
	// keyTextBytes is the length of every key: the prefix and 43 base64url characters.
	keyTextBytes = 4 + 43

	// MaxKeys bounds a keys file, and with it the time of the scan that every request with a key pays.
	MaxKeys = 1024
	// MaxKeyNameBytes bounds the name of a key.
	MaxKeyNameBytes = 64
)

// Key is one entry of a keys file: who holds it and what for. It is not the key's text, which nobody keeps.
type Key struct {
	Name    string
	Role    Role
	Created time.Time // UTC, whole seconds

	hash [sha256.Size]byte
}

// Hash is the SHA-256 of the key's text: its identity in scopes and digests. It cannot be used as a key.
func (k Key) Hash() [sha256.Size]byte { return k.hash }

// IsKeyText says whether a bearer credential is meant to be a key of Holdfast rather than a JWT.
func IsKeyText(text string) bool {
	return strings.HasPrefix(text, servicePrefix) || strings.HasPrefix(text, operatorPrefix)
}

// hashKeyText is the hash of a well-formed key. It keeps the text on the stack: it runs for every request with a key.
func hashKeyText(text string) (hash [sha256.Size]byte, ok bool) {
	if len(text) != keyTextBytes || !IsKeyText(text) {
		return hash, false
	}
	var buf [keyTextBytes]byte
	copy(buf[:], text)
	return sha256.Sum256(buf[:]), true
}

func (r Role) prefix() (string, error) {
	switch r {
	case RoleService:
		return servicePrefix, nil
	case RoleOperator:
		return operatorPrefix, nil
	}
	return "", fmt.Errorf("role %q: must be %q or %q", string(r), RoleService, RoleOperator)
}

// mintKey draws a key's text from random.
func mintKey(random io.Reader, role Role) (string, error) {
	prefix, err := role.prefix()
	if err != nil {
		return "", err
	}
	var secret [keySecretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(secret[:]), nil
}

func checkKeyName(name string) error {
	if name == "" || len(name) > MaxKeyNameBytes {
		return fmt.Errorf("key name %q: must have 1 to %d characters", name, MaxKeyNameBytes)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("key name %q: only letters, digits, '.', '_' and '-' are allowed", name)
		}
	}
	return nil
}
