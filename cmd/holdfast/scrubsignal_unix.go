//go:build unix

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// scrubOnSignal rereads everything at each SIGUSR1, until the returned function is called.
func (s *Server) scrubOnSignal() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for range signals {
			s.log.Info("asked to reread the table and the log")
			s.scrubNow()
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		waiting.Wait()
	}
}
