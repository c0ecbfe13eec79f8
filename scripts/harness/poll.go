package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Permanent marks an error that waiting will not heal.
type Permanent struct{ Err error }

func (p Permanent) Error() string { return p.Err.Error() }

func (p Permanent) Unwrap() error { return p.Err }

// Poll tries until it succeeds, for at most so long, and then answers with the last failure.
func Poll(ctx context.Context, atMost time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		err := try()
		var final Permanent
		if err == nil || errors.As(err, &final) {
			return err
		}
		if ended := Pause(ctx, 5*time.Millisecond); ended != nil {
			return fmt.Errorf("not within %v: %w", atMost, err)
		}
	}
}

// Pause waits, and answers with ctx's error if that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
