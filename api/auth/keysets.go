package auth

import (
	"context"
	"slices"
	"strings"
)

// KeySetState is whether the keys of one issuer can be had.
type KeySetState struct {
	Issuer string
	From   string // file or address
	Keys   int    // that are usable
	Err    error  // why there are none; nil if there are
}

// KeySets fetches every issuer's key set once and says how that went; ctx bounds all of them. What logins are checked
// with does not change. The issuers are in the order of their names.
func (l *Logins) KeySets(ctx context.Context) []KeySetState {
	states := make([]KeySetState, 0, len(l.issuers))
	for name, issuer := range l.issuers {
		state := KeySetState{Issuer: name, From: issuer.source.address + issuer.source.file}
		set, err := issuer.source.try(ctx)
		if err != nil {
			state.Err = err
		} else {
			state.Keys = len(set.kids)
		}
		states = append(states, state)
	}
	slices.SortFunc(states, func(a, b KeySetState) int { return strings.Compare(a.Issuer, b.Issuer) })
	return states
}

// try fetches the set for somebody who wants to know whether that works.
func (s *keySource) try(ctx context.Context) (*keySet, error) {
	if s.address != "" {
		return fetchJWKS(ctx, s.client, s.address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set, nil // of a file: without it the logins would not be open
}
