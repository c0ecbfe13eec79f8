package session

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

const (
	tokenPrefix   = "hfs_"
	secretTextLen = 43 // 32 bytes in unpadded base64url
	// TokenLen is the length of every token's text in bytes.
	TokenLen = len(tokenPrefix) + idTextLen + 1 + secretTextLen
)

// Secret is the 256 random bits that make a token a credential. No printing
// verb, log or encoder of text shows it. (A struct that holds a Secret or a
// Token in an unexported field must not be printed: fmt then goes around every
// method.)
type Secret [32]byte

// SecretHash is SHA-256 of a Secret: all that is stored or replicated.
type SecretHash [32]byte

// Token is a session's credential: its ID and its Secret.
type Token struct {
	ID     ID
	Secret Secret
}

// Proof is what a command carries in place of a token.
type Proof struct {
	ID   ID
	Hash SecretHash
}

// Mint draws a token whose ID is ordered by at. rand is crypto/rand's Reader
// outside tests; its error is returned.
func Mint(rand io.Reader, at Time) (Token, error) {
	id, err := newID(rand, at)
	if err != nil {
		return Token{}, fmt.Errorf("draw a session id: %w", err)
	}
	t := Token{ID: id}
	if _, err := io.ReadFull(rand, t.Secret[:]); err != nil {
		return Token{}, fmt.Errorf("draw a session secret: %w", err)
	}
	return t, nil
}

// ParseToken reads "hfs_<id>.<secret>" in its one canonical spelling. Anything
// else is ErrSessionInvalid, with no hint at what was wrong.
func ParseToken(s string) (Token, error) {
	if len(s) != TokenLen || s[:len(tokenPrefix)] != tokenPrefix || s[len(tokenPrefix)+idTextLen] != '.' {
		return Token{}, ErrSessionInvalid
	}
	id, ok := parseID(s[len(tokenPrefix) : len(tokenPrefix)+idTextLen])
	if !ok {
		return Token{}, ErrSessionInvalid
	}
	secret, ok := parseSecret(s[len(tokenPrefix)+idTextLen+1:])
	if !ok {
		return Token{}, ErrSessionInvalid
	}
	return Token{ID: id, Secret: secret}, nil
}

// Reveal returns the token's text: the only way to it.
func (t Token) Reveal() string {
	dst := make([]byte, 0, TokenLen)
	dst = append(dst, tokenPrefix...)
	dst = t.ID.append(dst)
	dst = append(dst, '.')
	return string(base64.RawURLEncoding.AppendEncode(dst, t.Secret[:]))
}

// Hash returns SHA-256 of the token's secret.
func (t Token) Hash() SecretHash { return sha256.Sum256(t.Secret[:]) }

// Proof returns what a command carries in place of t.
func (t Token) Proof() Proof { return Proof{ID: t.ID, Hash: t.Hash()} }
