package main

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
)

// secrets are all credentials that this run has used: the canaries that are searched for afterwards.
type secrets struct {
	mu  sync.Mutex
	all map[string]string // what must be found nowhere, and what it is
}

var tokenPattern = regexp.MustCompile(`hfs_[0-9a-f-]{36}\.[A-Za-z0-9_-]{43}`)

func newSecrets() *secrets { return &secrets{all: make(map[string]string)} }

// add takes a token, a key, a JWT or hex digits: their secret part as text, and the 32 bytes that it stands for.
func (s *secrets) add(what, text string) {
	secret := text
	switch {
	case strings.HasPrefix(text, "hfs_"):
		_, secret, _ = strings.Cut(text, ".")
	case strings.HasPrefix(text, "hfk_"), strings.HasPrefix(text, "hfo_"):
		secret = text[4:]
	case strings.HasPrefix(text, "ey"): // a JWT: nobody can use it without its signature
		secret = text[strings.LastIndexByte(text, '.')+1:]
	}
	if len(secret) < 20 {
		return // a stripped signature and its like would be found by chance
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[secret] = what
	if raw, err := hex.DecodeString(secret); err == nil && len(raw) == 32 {
		s.all[string(raw)] = what + ", raw"
	} else if raw, err := rawSecret(secret); err == nil && len(raw) == 32 {
		s.all[string(raw)] = what + ", raw"
	}
}

// addTokens takes all session tokens of an answer.
func (s *secrets) addTokens(a answer) {
	for _, token := range tokenPattern.FindAllString(a.body, -1) {
		s.add("a session token", token)
	}
}

// list is a copy.
func (s *secrets) list() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string, len(s.all))
	for secret, what := range s.all {
		all[secret] = what
	}
	return all
}

// rawSecret are the bytes that the secret part of a token or a key stands for.
func rawSecret(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
