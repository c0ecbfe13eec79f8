package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitersWakeAtTheirIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatermark(5)
		if err := w.wait(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		woken := make(chan uint64, 3)
		for _, index := range []uint64{6, 8, 9} {
			go func() {
				if w.wait(t.Context(), index) == nil {
					woken <- index
				}
			}()
		}
		synctest.Wait()
		w.advance(7)
		if got := <-woken; got != 6 {
			t.Errorf("%d woke at 7", got)
		}
		w.advance(3)
		if w.applied() != 7 {
			t.Errorf("it went back to %d", w.applied())
		}
		w.advance(9)
		<-woken
		<-woken
	})
}

func TestAWaiterLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatermark(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if len(w.waiters) != 0 || w.waiting.Load() != 0 {
			t.Error("the waiter is still there")
		}
	})
}

func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatermark(0)
		var all sync.WaitGroup
		for range maxIndexWaiters {
			all.Go(func() { _ = w.wait(t.Context(), 1) })
		}
		synctest.Wait()
		if err := w.wait(t.Context(), 1); !errors.Is(err, ErrOverloaded) {
			t.Error(err)
		}
		all.Go(func() {
			if err := w.await(t.Context(), 1, maxIndexWaiters+1); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		w.advance(1)
		all.Wait()
	})
}

func TestNoWakeUpIsLost(t *testing.T) {
	w := newWatermark(0)
	var all sync.WaitGroup
	for index := range uint64(2000) {
		all.Go(func() {
			if err := w.wait(t.Context(), index); err != nil {
				t.Error(err)
			}
		})
	}
	for index := range uint64(2000) {
		w.advance(index)
	}
	all.Wait()
}
