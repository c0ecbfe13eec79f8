// Package quiet says which lines about hosts are news. Whoever reaches a port can
// cause such lines, and must not fill a log; yet the first one about a host is
// what an operator looks for.
//
// It knows addresses and times, and nothing of what is said about them.
package quiet

import (
	"net"
	"sync"
	"time"
)

const (
	// For how long a host is no news again.
	For = time.Minute
	// Hosts may be news in that time; more are not.
	Hosts = 32
)

// Log remembers what was news. The zero value is ready; it is safe for concurrent
// use.
type Log struct {
	mu    sync.Mutex
	heard map[string]time.Time
}

// IsNews says whether a line about the host of addr, HOST:PORT, is news at now.
func (l *Log) IsNews(addr string, now time.Time) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == nil {
		l.heard = make(map[string]time.Time)
	}
	for known, at := range l.heard {
		if now.Sub(at) >= For {
			delete(l.heard, known)
		}
	}
	if _, known := l.heard[host]; known || len(l.heard) >= Hosts {
		return false
	}
	l.heard[host] = now
	return true
}
