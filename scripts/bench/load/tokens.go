package load

import (
	"fmt"
	"sync"
)

const (
	tokenBytes  = 84 // "hfs_", an identifier of 36 characters, ".", a secret of 43
	chunkTokens = 4096
)

type chunk [chunkTokens][tokenBytes]byte

// Tokens is a growing set of session tokens, 84 bytes each without anything for the garbage collector to follow: one
// million take 84 MB. Its methods may be called by several goroutines. The zero value is an empty set.
type Tokens struct {
	mu     sync.RWMutex
	chunks []*chunk
	n      int
}

// Len is the number of tokens in the set.
func (t *Tokens) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.n
}

// Add appends one token, and refuses what does not have the form of a session token.
func (t *Tokens) Add(token string) error { return t.add([]byte(token)) }

func (t *Tokens) add(token []byte) error {
	if err := checkToken(token); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == len(t.chunks)*chunkTokens {
		t.chunks = append(t.chunks, new(chunk))
	}
	copy(t.chunks[t.n/chunkTokens][t.n%chunkTokens][:], token)
	t.n++
	return nil
}

func checkToken(token []byte) error {
	if len(token) != tokenBytes || string(token[:4]) != "hfs_" || token[40] != '.' {
		return fmt.Errorf("not a session token: %d bytes", len(token))
	}
	return nil
}

// At returns token i, 0 ≤ i < Len.
func (t *Tokens) At(i int) string { return string(t.snapshot().at(i)) }

// tokenView is the set as it was at one moment: reading it needs no lock, because what was added stays as it is.
type tokenView struct {
	chunks []*chunk
	n      int
}

func (t *Tokens) snapshot() tokenView {
	if t == nil {
		return tokenView{}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return tokenView{t.chunks, t.n}
}

func (v tokenView) at(i int) []byte { return v.chunks[i/chunkTokens][i%chunkTokens][:] }
