package load

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestARunEndsAtItsDuration(t *testing.T) {
	node := newFakeNode(t, nil)
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 4, Duration: 100 * time.Millisecond, Tokens: testTokens(t, 3),
	})
	if result.Operations == 0 || uint64(node.count()) != result.Operations || result.Seconds < .1 || result.Seconds > 5 {
		t.Errorf("result %+v of %d", result, node.count())
	}
}

func TestARunEndsAtItsHardDeadlineWhenNothingAnswers(t *testing.T) {
	node := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		<-r.Context().Done()
		return true
	})
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 4, Duration: 50 * time.Millisecond, Timeout: 100 * time.Millisecond,
		Tokens: testTokens(t, 3),
	})
	if result.Operations != 0 || result.Errors+result.Abandoned != 4 || result.Seconds > 5 {
		t.Errorf("result %+v", result)
	}
}

func TestARunEndsWithItsContextAndAbandonsWhatIsOutstanding(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var waiting sync.WaitGroup
	waiting.Add(4)
	node := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		waiting.Done()
		<-r.Context().Done()
		return true
	})
	go func() {
		waiting.Wait()
		cancel()
	}()
	result, err := Run(ctx, Options{Addrs: []string{node.addr()}, Profile: Get, Clients: 4, Count: 100, Tokens: testTokens(t, 3)})
	if !errors.Is(err, context.Canceled) || result.Abandoned != 4 || result.Errors != 0 || result.Operations != 0 {
		t.Errorf("error %v, result %+v", err, result)
	}
}

func TestASkippedNodeGetsNoRequestUntilItIsRestored(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached := make(chan struct{}, 1<<20)
	first := newFakeNode(t, func(http.ResponseWriter, *http.Request, int) bool { reached <- struct{}{}; return false })
	other := make(chan struct{}, 1<<20)
	second := newFakeNode(t, func(http.ResponseWriter, *http.Request, int) bool { other <- struct{}{}; return false })
	targets := NewTargets(first.addr(), second.addr())
	done := make(chan Result)
	go func() {
		result, _ := Run(ctx, Options{
			Targets: targets, Profile: Get, Clients: 6, Duration: time.Minute, Tokens: testTokens(t, 3), Timeout: time.Second,
		})
		done <- result
	}()
	<-reached
	if err := targets.Skip(ctx, first.addr()); err != nil {
		t.Fatal(err)
	}
	before := first.count()
	for range 200 {
		<-other
	}
	if after := first.count(); after != before {
		t.Errorf("a skipped node got %d requests", after-before)
	}
	if err := targets.Skip(ctx, second.addr()); err == nil {
		t.Error("the last node could be skipped")
	}
	for len(reached) > 0 {
		<-reached
	}
	targets.Restore(first.addr())
	<-reached
	cancel()
	if result := <-done; result.Errors != 0 {
		t.Errorf("result %+v", result)
	}
}

func TestARunEndsWhenItIsAskedToAndLosesNothing(t *testing.T) {
	stop := make(chan struct{})
	var once sync.Once
	node := newFakeNode(t, func(_ http.ResponseWriter, _ *http.Request, number int) bool {
		if number > 100 {
			once.Do(func() { close(stop) })
		}
		return false
	})
	result := mustRun(t, Options{
		Addrs: []string{node.addr()}, Profile: Get, Clients: 4, Duration: time.Minute, Tokens: testTokens(t, 3), Stop: stop,
	})
	if result.Seconds > 30 || result.Abandoned != 0 || uint64(node.count()) != result.Operations {
		t.Errorf("result %+v of %d", result, node.count())
	}
}
