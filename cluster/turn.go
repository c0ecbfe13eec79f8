package cluster

import "context"

// turn lets one at a time go on. It is no mutex: what is done in a turn may take
// seconds, and whoever has stopped waiting must not act any more.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for its turn, or fails because ctx has ended.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		t.pass()
		return err
	}
	return nil
}

// pass ends a turn that was taken.
func (t turn) pass() { <-t }
