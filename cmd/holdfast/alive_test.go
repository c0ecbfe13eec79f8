package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheWatchdogIsFedThreeTimesWithinItsIntervalUntilALifeCanNotBeProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hung, release := make(chan struct{}), make(chan struct{})
		proofs, fed := 0, 0
		began := time.Now()
		var last time.Duration
		go feed(ctx, 30*time.Second, func() error {
			if proofs++; proofs == 5 {
				close(hung)
				<-release
			}
			return nil
		}, func(error) { fed, last = fed+1, time.Since(began) })
		<-hung
		time.Sleep(time.Hour) // of the bubble's clock
		if proofs != 5 || fed != 4 || last != 30*time.Second {
			t.Errorf("%d proofs were begun, %d passed on, the last after %s", proofs, fed, last)
		}
		cancel()
		close(release)
		synctest.Wait()
	})
}

func TestABadProofIsPassedOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	bad := errors.New("broken")
	var got error
	feed(ctx, time.Second, func() error { return bad }, func(err error) {
		got = err
		cancel()
	})
	if !errors.Is(got, bad) {
		t.Errorf("passed on: %v", got)
	}
}

// A node alone among its dead has no quorum, is not ready, and is alive.
func TestSystemdIsToldThatANodeLivesAlsoWithoutAQuorum(t *testing.T) {
	c := startProcesses(t, 3)
	address := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	await := func(want string) {
		t.Helper()
		for buf := make([]byte, 4096); ; {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	n := c.nodes[0]
	n.stopWell()
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "300000")
	n.start()
	await("READY=1")
	await("WATCHDOG=1")
	for _, other := range c.others(n) {
		other.kill()
	}
	c.eventually(n.id+" is not ready any more", func() bool {
		return !answersOK(t.Context(), strings.TrimPrefix(n.url, "http://"), "/readyz")
	})
	for range 20 { // far more than were on their way
		await("WATCHDOG=1")
	}
	n.signal(syscall.SIGTERM)
	await("STOPPING=1")
}
