package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// notBase64 marks a byte that is no digit; no digit has its high bits.
const notBase64 = 0xff

// base64Digits maps a byte to its value in base64url (RFC 4648, section 5).
var base64Digits = func() (digits [256]byte) {
	for i := range digits {
		digits[i] = notBase64
	}
	for value, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		digits[c] = byte(value)
	}
	return digits
}()

// parseSecret reads unpadded base64url. Every request pays for it, and
// encoding/base64 would pass over line ends, so it is written out here.
func parseSecret(text string) (s Secret, ok bool) {
	if len(text) != secretTextLen {
		return Secret{}, false
	}
	var seen byte
	digit := func(i int) uint32 {
		v := base64Digits[text[i]]
		seen |= v
		return uint32(v)
	}
	for i, out := 0, 0; i < secretTextLen-3; i, out = i+4, out+3 {
		v := digit(i)<<18 | digit(i+1)<<12 | digit(i+2)<<6 | digit(i+3)
		s[out], s[out+1], s[out+2] = byte(v>>16), byte(v>>8), byte(v)
	}
	last := digit(40)<<12 | digit(41)<<6 | digit(42)
	s[30], s[31] = byte(last>>10), byte(last>>2)
	// The last two bits stand for nothing: were they free, a token had four spellings.
	if seen > 63 || last&3 != 0 {
		return Secret{}, false
	}
	return s, true
}

const redacted = "***"

// String shows nothing of s.
func (s Secret) String() string { return redacted }

// GoString shows nothing of s.
func (s Secret) GoString() string { return redacted }

// Format shows nothing of s: without it %d would print the bytes.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue shows nothing of s.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText shows nothing of s.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// String returns the token with its secret left out.
func (t Token) String() string { return tokenPrefix + t.ID.String() + "." + redacted }

// GoString returns the token with its secret left out.
func (t Token) GoString() string { return t.String() }

// Format writes the token with its secret left out, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue returns the token with its secret left out.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the token with its secret left out.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Equal compares in constant time.
func (h SecretHash) Equal(other SecretHash) bool {
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// Matches says, in constant time, whether h is the hash of s.
func (h SecretHash) Matches(s Secret) bool { return h.Equal(sha256.Sum256(s[:])) }
