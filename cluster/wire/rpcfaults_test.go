package wire

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestADeadConnectionFailsAllItsCallsAtOnce(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		g := newGate()
		s := serve(t, b, g.handle, ServerOptions{})
		c := newClient(t, a, ClientOptions{})
		failed := make(chan error, 10)
		for range 10 {
			go func() { _, err := c.Call(context.Background(), "b", 1, nil); failed <- err }()
			<-g.entered
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := <-failed; !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrLost) || errors.Is(err, ErrNotSent) {
				t.Errorf("sent and lost: %v", err)
			}
		}
		// Nobody serves there now: nothing is sent.
		_, err := c.Call(within(t), "b", 1, nil)
		if !errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnknown) {
			t.Errorf("nobody there: %v", err)
		}
		serve(t, b, echo, ServerOptions{})
		until(t, "connected again", func() bool {
			_, err := c.Call(within(t), "b", 0, nil)
			if err != nil && !errors.Is(err, ErrNotSent) {
				t.Errorf("while reconnecting: %v", err)
			}
			return err == nil
		})
	})
}

func TestAClosedClientFailsItsCallsAndStaysClosed(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		g := newGate()
		serve(t, b, g.handle, ServerOptions{})
		c := newClient(t, a, ClientOptions{})
		failed := make(chan error, 1)
		go func() { _, err := c.Call(context.Background(), "b", 1, nil); failed <- err }()
		there := <-g.entered
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrClosed) {
			t.Errorf("waiting call: %v", err)
		}
		<-there.Done()
		if _, err := c.Call(within(t), "b", 1, nil); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrClosed) {
			t.Errorf("later call: %v", err)
		}
	})
}

func TestWaitingCallsAreBounded(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		g := newGate()
		serve(t, b, g.handle, ServerOptions{})
		c := newClient(t, a, ClientOptions{MaxWaiting: 2})
		ctx := within(t)
		var slow sync.WaitGroup
		for range 2 {
			slow.Go(func() {
				if _, err := c.Call(ctx, "b", 1, nil); err != nil {
					t.Error(err)
				}
			})
			<-g.entered
		}
		if _, err := c.Call(ctx, "b", 1, nil); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrNotSent) {
			t.Errorf("third call: %v", err)
		}
		close(g.open)
		slow.Wait()
	})
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		s := serve(t, b, echo, ServerOptions{})
		c := newClient(t, a, ClientOptions{})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Call(ended, "b", 1, nil); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		if _, err := c.Call(late, "b", 1, nil); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
		if s.Stats().Requests != 0 {
			t.Error("something was sent")
		}
	})
}

func TestAPeersOldConnectionsGo(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		s := serve(t, b, echo, ServerOptions{})
		var clients []*Client
		for range connsPerPeer + 2 {
			c := newClient(t, a, ClientOptions{})
			if _, err := c.Call(within(t), "b", 1, nil); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		until(t, "the oldest are gone", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns["a"]) == connsPerPeer
		})
		// They only have to connect again.
		until(t, "the first is back", func() bool {
			_, err := clients[0].Call(within(t), "b", 1, nil)
			return err == nil
		})
	})
}
