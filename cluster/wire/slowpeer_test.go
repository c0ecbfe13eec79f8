package wire

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestASilentConnectionIsGivenUpAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		serve(t, m.Node("b"), echo, ServerOptions{})
		c := newClient(t, m.Node("a"), ClientOptions{})
		call := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := c.Call(ctx, "b", 1, nil)
			return err
		}
		if err := call(time.Second); err != nil {
			t.Fatal(err)
		}
		m.Cut("a", "b")
		if err := call(time.Second); !errors.Is(err, ErrUnknown) {
			t.Errorf("into the cut: %v", err)
		}
		// The connection is gone, and there is no other: nothing is sent.
		if err := call(time.Second); !errors.Is(err, ErrNotSent) {
			t.Errorf("after it was given up: %v", err)
		}
		m.Heal("a", "b")
		time.Sleep(3 * time.Second)
		if err := call(time.Second); err != nil {
			t.Errorf("healed: %v", err)
		}
	})
}

func TestASlowPeerHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		serve(t, m.Node("b"), echo, ServerOptions{})
		slow := serve(t, m.Node("slow"), echo, ServerOptions{})
		c := newClient(t, m.Node("a"), ClientOptions{})
		for _, id := range []string{"b", "slow"} {
			if _, err := c.Call(t.Context(), id, 1, nil); err != nil {
				t.Fatal(err)
			}
		}
		m.CutOneWay("a", "slow")
		stuck := make(chan error, 8)
		for range cap(stuck) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := c.Call(ctx, "slow", 1, make([]byte, 1<<20))
				stuck <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		for range 100 {
			if _, err := c.Call(t.Context(), "b", 1, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("other calls took %s", took)
		}
		// What the writer had not begun when it gave up was certainly not sent.
		notSent := 0
		for range cap(stuck) {
			if err := <-stuck; errors.Is(err, ErrNotSent) {
				notSent++
			} else if !errors.Is(err, ErrUnknown) {
				t.Errorf("stuck call: %v", err)
			}
		}
		if notSent == 0 || notSent == cap(stuck) {
			t.Errorf("%d of %d were not sent", notSent, cap(stuck))
		}
		if took := time.Since(began); took > writeTimeout {
			t.Errorf("the stuck calls took %s", took)
		}
		// What was called not sent never runs, not even after healing.
		m.HealAll()
		time.Sleep(time.Minute)
		if ran := int(slow.Stats().Requests) - 1; ran > cap(stuck)-notSent {
			t.Errorf("%d ran, %d of %d were called not sent", ran, notSent, cap(stuck))
		}
	})
}

func TestAPeerThatNeverReadsItsAnswersIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		big := make([]byte, 1<<20)
		s := serve(t, m.Node("b"), func(context.Context, string, uint8, []byte) ([]byte, error) { return big, nil }, ServerOptions{MaxHandlers: 4})
		conn, err := m.Node("a").Dial(t.Context(), "b", ProtocolPeer)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for id := range uint64(100) {
			if _, err := conn.Write(frame{kind: kindRequest, id: id}.appendHeader(nil)); err != nil {
				break
			}
			synctest.Wait()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.conns) != 0 {
			t.Error("still connected")
		}
		if n := s.Stats().Requests; n > 16 {
			t.Errorf("%d requests were taken in", n)
		}
	})
}
