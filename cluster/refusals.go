package cluster

import (
	"sync"
	"time"
)

const (
	// refusalRepeat is how often a refusal that repeats is told again.
	refusalRepeat = time.Minute
	// maxRefusals are remembered; a node's id costs whoever has the key nothing.
	maxRefusals = 256
)

// refusals keeps a node that asks again and again from filling the log.
type refusals struct {
	mu   sync.Mutex
	told map[string]refusal
}

type refusal struct {
	reason string
	at     time.Time
}

// tell says whether a refusal is news.
func (r *refusals) tell(id string, reason error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.told[id]
	now := time.Now()
	if known && last.reason == reason.Error() && now.Sub(last.at) < refusalRepeat {
		return false
	}
	if r.told == nil || !known && len(r.told) >= maxRefusals {
		r.told = make(map[string]refusal)
	}
	r.told[id] = refusal{reason: reason.Error(), at: now}
	return true
}

// forget makes the next refusal news.
func (r *refusals) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.told, id)
}
