package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent marks an error that waiting will not heal.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// poll tries until it succeeds, for at most so long, and then answers with the last failure.
func poll(ctx context.Context, atMost time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		err := try()
		var final permanent
		if err == nil || errors.As(err, &final) {
			return err
		}
		if ended := pause(ctx, 5*time.Millisecond); ended != nil {
			return fmt.Errorf("not within %v: %w", atMost, err)
		}
	}
}

// pause waits, and answers with ctx's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
