package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// keySource keeps the current key set of one issuer. Fetches run one at a time, at most one a cool-down, in goroutines
// of their own: a caller that goes away must not cut short what others wait for.
type keySource struct {
	address  string // of the JWKS; "" if it comes from a file
	file     string
	client   *http.Client
	cooldown time.Duration
	maxAge   time.Duration
	timeout  time.Duration
	logger   *slog.Logger

	life    context.Context // ends all fetches at Close
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	set      *keySet       // nil before the first success
	loaded   time.Time     // when set was fetched, by the monotonic clock
	tried    time.Time     // when the last fetch began
	fetching chan struct{} // closed when the fetch under way ends; nil if there is none
}

// lookup returns a set that holds kid, or the newest there is. It waits for a fetch if there is no set yet, or if the
// kid is unknown and the cool-down is over; ctx bounds the wait.
func (s *keySource) lookup(ctx context.Context, kid string) (*keySet, error) {
	s.mu.Lock()
	set := s.set
	known := set != nil && (set.kids[kid] || kid == "" && set.only != "")
	if known && (s.file != "" || time.Since(s.loaded) < s.maxAge) {
		s.mu.Unlock()
		return set, nil
	}
	fetching := s.fetchLocked()
	s.mu.Unlock()
	if known || fetching == nil {
		return set, nil // a known key goes on working while its set is being refreshed, or cannot be
	}
	select {
	case <-fetching:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set, nil
}

// fetchLocked starts a fetch unless the cool-down forbids it, and returns the channel of the one under way, or nil.
func (s *keySource) fetchLocked() <-chan struct{} {
	if s.fetching != nil {
		return s.fetching
	}
	if s.address == "" || s.closed || (!s.tried.IsZero() && time.Since(s.tried) < s.cooldown) {
		return nil
	}
	s.tried = time.Now()
	done := make(chan struct{})
	s.fetching = done
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.timeout)
		defer cancel()
		set, err := fetchJWKS(ctx, s.client, s.address)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.set, s.loaded = set, time.Now()
		} else if s.life.Err() == nil {
			s.logger.Warn("login key set could not be fetched", "url", s.address, "error", err)
		}
		s.fetching = nil
		close(done)
	})
	return done
}

// reload reads a key set that comes from a file again; on an error the old one stays.
func (s *keySource) reload() error {
	if s.file == "" {
		return nil
	}
	raw, err := readBounded(s.file, maxJWKSBytes)
	if err != nil {
		return fmt.Errorf("read jwt-jwks-file: %w", err)
	}
	set, err := parseJWKS(raw)
	if err != nil {
		return fmt.Errorf("jwt-jwks-file %s: %w", s.file, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set, s.loaded = set, time.Now()
	return nil
}
