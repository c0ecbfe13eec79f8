package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t testing.TB, n Network, h Handler, o ServerOptions) *Server {
	t.Helper()
	s, err := OpenServer(n, ProtocolPeer, h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newClient(t testing.TB, n Network, o ClientOptions) *Client {
	t.Helper()
	c := NewClient(n, ProtocolPeer, o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func echo(_ context.Context, from string, method uint8, body []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s %d %s", from, method, body), nil
}

func TestManyCallsShareAConnection(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		s := serve(t, b, echo, ServerOptions{MaxHandlers: 1000})
		c := newClient(t, a, ClientOptions{})
		ctx := within(t)
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				for j := range 20 {
					body := strings.Repeat("x", (i*j*97)%70_000)
					got, err := c.Call(ctx, "b", uint8(i), []byte(body))
					if want := fmt.Sprintf("a %d %s", i, body); err != nil || string(got) != want {
						t.Errorf("call %d/%d: %d bytes, %v", i, j, len(got), err)
						return
					}
				}
			})
		}
		calls.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.conns["a"]); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

type codedError struct{ code byte }

func (e codedError) Error() string { return "coded" }
func (e codedError) Code() byte    { return e.code }

func TestAHandlersErrorTravelsAsTextAndCode(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		serve(t, b, func(_ context.Context, _ string, method uint8, _ []byte) ([]byte, error) {
			switch method {
			case 1:
				return nil, errors.New("plain")
			case 2:
				return nil, fmt.Errorf("wrapped: %w", codedError{42})
			case 3:
				return nil, codedError{1} // is not the handler's to say
			default:
				return nil, errors.New(strings.Repeat("é", maxErrorBytes))
			}
		}, ServerOptions{})
		c := newClient(t, a, ClientOptions{})
		for method, want := range map[uint8]RemoteError{
			1: {Peer: "b", Code: CodeHandler, Text: "plain"},
			2: {Peer: "b", Code: 42, Text: "wrapped: coded"},
			3: {Peer: "b", Code: CodeHandler, Text: "coded"},
			4: {Peer: "b", Code: CodeHandler, Text: strings.Repeat("é", maxErrorBytes/2)},
		} {
			_, err := c.Call(within(t), "b", method, nil)
			remote, ok := errors.AsType[*RemoteError](err)
			if !ok || *remote != want {
				t.Errorf("method %d: %v", method, err)
			}
			if errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnknown) {
				t.Errorf("method %d is also not sent or unknown: %v", method, err)
			}
		}
	})
}

func TestBodiesAreBounded(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		var ran atomic.Int64
		serve(t, b, func(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) {
			ran.Add(1)
			return bytes.Repeat(body, 2), nil
		}, ServerOptions{MaxBody: 1000})
		c := newClient(t, a, ClientOptions{MaxBody: 5000})
		call := func(size int) error {
			_, err := c.Call(within(t), "b", 1, make([]byte, size))
			return err
		}
		if err := call(500); err != nil {
			t.Errorf("500 bytes: %v", err)
		}
		if err := call(501); !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrNotSent) {
			t.Errorf("answer of 1002 bytes: %v", err)
		}
		// The server's greeting told its limit: nothing breaks.
		for _, size := range []int{1001, 5001} {
			if err := call(size); !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrNotSent) {
				t.Errorf("request of %d bytes: %v", size, err)
			}
		}
		if n := ran.Load(); n != 2 {
			t.Errorf("the handler ran %d times", n)
		}
	})
}

// gate is a handler that waits until it is let go, or its context ends.
type gate struct {
	entered chan context.Context
	open    chan struct{}
}

func newGate() *gate {
	return &gate{entered: make(chan context.Context, 1000), open: make(chan struct{})}
}

func (g *gate) handle(ctx context.Context, _ string, method uint8, body []byte) ([]byte, error) {
	if method == 0 {
		return body, nil
	}
	g.entered <- ctx
	select {
	case <-g.open:
		return body, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestASlowHandlerHoldsUpNobody(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		g := newGate()
		s := serve(t, b, g.handle, ServerOptions{MaxHandlers: 3})
		c := newClient(t, a, ClientOptions{})
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
		for range 10 {
			until(t, "there is room again", func() bool {
				_, err := c.Call(ctx, "b", 0, nil)
				if err != nil && !errors.Is(err, ErrBusy) {
					t.Fatal(err)
				}
				return err == nil
			})
		}
		slow.Go(func() {
			for {
				_, err := c.Call(ctx, "b", 1, nil)
				if err == nil {
					return
				}
				if !errors.Is(err, ErrBusy) {
					t.Error(err)
					return
				}
			}
		})
		<-g.entered
		// Beyond the bound it is refused, and it is certain that it did not run.
		if _, err := c.Call(ctx, "b", 1, nil); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrNotSent) {
			t.Errorf("above the bound: %v", err)
		}
		if s.Stats().Refused == 0 {
			t.Error("not counted")
		}
		close(g.open)
		slow.Wait()
	})
}

func TestADeadlineTravelsAndACancelFollows(t *testing.T) {
	inBoth(t, func(t *testing.T, w world) {
		a, b := w(t, "a"), w(t, "b")
		g := newGate()
		serve(t, b, g.handle, ServerOptions{})
		c := newClient(t, a, ClientOptions{})
		if _, err := c.Call(within(t), "b", 0, nil); err != nil {
			t.Fatal(err)
		}

		short, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		defer cancel()
		_, err := c.Call(short, "b", 1, nil)
		if remote, isRemote := errors.AsType[*RemoteError](err); !isRemote || !strings.Contains(remote.Text, "deadline") {
			if !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("deadline: %v", err)
			}
		}
		there := <-g.entered
		if at, ok := there.Deadline(); !ok || time.Until(at) > 100*time.Millisecond {
			t.Errorf("the handler's deadline is %v, %v", at, ok)
		}
		<-there.Done()

		endless, stop := context.WithCancel(context.Background())
		given := make(chan error, 1)
		go func() { _, err := c.Call(endless, "b", 1, nil); given <- err }()
		there = <-g.entered
		if _, ok := there.Deadline(); ok {
			t.Error("a deadline from nowhere")
		}
		stop()
		if err := <-given; !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancel: %v", err)
		}
		<-there.Done()
	})
}
