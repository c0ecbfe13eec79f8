package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func runBatcher(t *testing.T, send func([]*proposal)) (b *batcher, stop func()) {
	t.Helper()
	owned := new(tasks)
	b = newBatcher(owned, send)
	ctx, cancel := context.WithCancel(context.Background())
	owned.Go(func() { b.run(ctx) })
	return b, func() {
		cancel()
		owned.close()
		owned.wait()
	}
}

func TestWhatArrivesMeanwhileTravelsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		b, stop := runBatcher(t, func(batch []*proposal) {
			mu.Lock()
			sizes = append(sizes, len(batch))
			mu.Unlock()
			time.Sleep(time.Second)
			finishAll(batch, attempt{index: 1})
		})
		defer stop()
		var all sync.WaitGroup
		submit := func() {
			all.Go(func() {
				c, _, err := b.submit([][]byte{[]byte("x")}, false)
				if err != nil {
					t.Error(err)
					return
				}
				<-c.done
			})
			synctest.Wait()
		}
		for range batchesEager {
			submit()
			time.Sleep(10 * time.Millisecond)
		}
		for range 600 {
			submit()
		}
		all.Wait()
		if sizes[batchesEager] != maxBatchCommands || sizes[batchesEager+1] != 600-maxBatchCommands {
			t.Errorf("batches of %v", sizes)
		}
	})
}

func TestABatchWaitsForThoseWhoAreAboutToComeBackAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		b, stop := runBatcher(t, func(batch []*proposal) {
			mu.Lock()
			sizes = append(sizes, len(batch))
			mu.Unlock()
			time.Sleep(time.Millisecond)
			finishAll(batch, attempt{index: 1})
		})
		defer stop()
		propose := func() time.Duration {
			began := time.Now()
			c, _, err := b.submit([][]byte{[]byte("x")}, false)
			if err != nil {
				t.Error(err)
				return 0
			}
			<-c.done
			return time.Since(began)
		}
		// A single caller waits for nobody.
		for range 20 {
			if took := propose(); took != time.Millisecond {
				t.Fatalf("a single caller waited %s", took)
			}
		}
		// Ten who come back one after the other, within the limit, travel together.
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				for range 50 {
					time.Sleep(time.Duration(i) * gatherLimit / 20)
					propose()
				}
			})
		}
		callers.Wait()
		mu.Lock()
		full := 0
		for _, size := range sizes {
			if size == 10 {
				full++
			}
		}
		mu.Unlock()
		if full < 40 {
			t.Errorf("only %d of about 50 batches held all ten", full)
		}
		// Once they are gone, the one who stays soon waits for nobody again.
		for range 40 {
			propose()
		}
		if took := propose(); took != time.Millisecond {
			t.Errorf("a caller who is alone again waited %s", took)
		}
	})
}

func TestALargeCommandTravelsAlone(t *testing.T) {
	b := newBatcher(new(tasks), nil)
	large := make([]byte, maxBatchBytes+1)
	if _, _, err := b.submit([][]byte{large, large, []byte("x")}, false); err != nil {
		t.Fatal(err)
	}
	if got := len(b.take()); got != 1 {
		t.Errorf("%d commands", got)
	}
	if got := len(b.take()); got != 1 {
		t.Errorf("%d commands", got)
	}
	if got := len(b.take()); got != 1 || b.bytes != 0 {
		t.Errorf("%d commands, %d bytes left", got, b.bytes)
	}
}

func TestAWithdrawnCommandIsNeverSent(t *testing.T) {
	b := newBatcher(new(tasks), nil)
	_, proposals, err := b.submit([][]byte{[]byte("x")}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !proposals[0].withdraw() {
		t.Fatal("it was not queued")
	}
	if batch := b.take(); len(batch) != 0 {
		t.Error("it was taken")
	}
	_, proposals, _ = b.submit([][]byte{[]byte("x")}, false)
	b.take()
	if proposals[0].withdraw() {
		t.Error("it was withdrawn after it was taken")
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	b := newBatcher(new(tasks), nil)
	if _, _, err := b.submit(make([][]byte, maxQueued), false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.submit([][]byte{{}}, false); !errors.Is(err, ErrOverloaded) {
		t.Error(err)
	}
}

func TestWhatIsQueuedAtTheEndWasNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b, stop := runBatcher(t, func(batch []*proposal) {
			<-release
			finishAll(batch, attempt{})
		})
		for range batchesEager {
			_, _, _ = b.submit([][]byte{[]byte("x")}, false)
			synctest.Wait()
		}
		queued, _, err := b.submit([][]byte{[]byte("y")}, false)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-queued.done
			close(release)
		}()
		stop()
		if !errors.Is(queued.results[0].err, errNotExecuted) {
			t.Errorf("%+v", queued.results[0])
		}
		if _, _, err := b.submit([][]byte{[]byte("z")}, false); !errors.Is(err, ErrDraining) {
			t.Error(err)
		}
	})
}
