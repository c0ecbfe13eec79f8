package load

import (
	"context"
	"fmt"
)

const (
	preloadRounds  = 5
	preloadClients = 256
)

// Preload creates n sessions and returns their tokens. Options count as in Run, but for Profile, Count, Duration (the
// longest that one round may take; 10 min) and WarmUp; with Options.Tokens set, the new ones are added to it. Sessions
// that could not be created are tried again in up to five rounds; fewer than n is an error. The result is that of the
// last round.
func Preload(ctx context.Context, options Options, n int) (*Tokens, Result, error) {
	options.Profile, options.WarmUp = Create, 0
	if options.Tokens == nil {
		options.Tokens = &Tokens{}
	}
	if options.Clients == 0 {
		options.Clients = preloadClients
	}
	goal := options.Tokens.Len() + n
	var last Result
	for range preloadRounds {
		missing := goal - options.Tokens.Len()
		if missing <= 0 {
			return options.Tokens, last, nil
		}
		round := options
		round.Count = uint64(missing)
		round.Clients = min(options.Clients, missing)
		result, err := Run(ctx, round)
		if err != nil {
			return options.Tokens, result, err
		}
		last = result
		options.Seed += round.Count
	}
	if missing := goal - options.Tokens.Len(); missing > 0 {
		return options.Tokens, last, fmt.Errorf("preload: %d of %d sessions could not be created: %s",
			missing, n, last.FirstError())
	}
	return options.Tokens, last, nil
}
