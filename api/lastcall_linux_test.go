package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A connection that the kernel opened before the end is served, though nobody had accepted it yet; one that comes later
// is never opened.
func TestAListenerThatOpensNoMoreKeepsWhatWasOpened(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			var plain net.ListenConfig
			plain.SetMultipathTCP(false)
			ln, err := plain.Listen(t.Context(), network, map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network])
			if network == "tcp6" && errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Skip("NOT CHECKED: no IPv6 here")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			early, err := net.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer early.Close()
			if err := openNoMore(ln); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if late, err := new(net.Dialer).DialContext(ctx, network, ln.Addr().String()); err == nil {
				late.Close()
				t.Error("a connection was opened after the end")
			}
			// The filter is on the accepted socket too and must let its segments pass.
			if _, err := early.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			var got [1]byte
			if _, err := accepted.Read(got[:]); err != nil || got[0] != 'x' {
				t.Errorf("read %q, %v", got, err)
			}
			ln.Close()
			if late, err := net.DialTimeout(network, ln.Addr().String(), 10*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
				if err == nil {
					late.Close()
				}
				t.Errorf("a closed listener answers %v", err)
			}
		})
	}
}

// Clients that open a connection for each request go on until they are refused. Whoever got a connection must get an
// answer.
func TestAShutdownAnswersEveryConnectionThatWasMade(t *testing.T) {
	const clients, rounds, before = 16, 10, 200
	for range rounds {
		n := newNode(t, nil)
		var plain net.ListenConfig
		plain.SetMultipathTCP(false)
		ln := must(plain.Listen(t.Context(), "tcp", "127.0.0.1:0"))
		served := make(chan error, 1)
		go func() { served <- n.server.Serve(ln) }()
		var answered atomic.Int64
		busy := make(chan struct{})
		var asking sync.WaitGroup
		for range clients {
			asking.Go(func() {
				for {
					conn, err := net.DialTimeout("tcp", ln.Addr().String(), 500*time.Millisecond)
					if err != nil {
						return // nothing was sent
					}
					if err := askOnce(conn); err != nil {
						t.Errorf("a connection was made, and then: %v", err)
					}
					if answered.Add(1) == before {
						close(busy)
					}
				}
			})
		}
		<-busy
		if err := errors.Join(n.server.Shutdown(t.Context()), <-served); err != nil {
			t.Error(err)
		}
		asking.Wait()
	}
}

func askOnce(conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
