//go:build !unix

package main

// scrubOnSignal does nothing where there is no SIGUSR1.
func (s *Server) scrubOnSignal() (stop func()) { return func() {} }
