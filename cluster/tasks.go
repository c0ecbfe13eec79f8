package cluster

import "sync"

// tasks owns the goroutines of a node. After close none is started any more,
// so that wait can be trusted to have seen them all.
type tasks struct {
	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

// Go runs f in a goroutine of its own, or not at all once the node is closing.
// It says which.
func (t *tasks) Go(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.group.Go(f)
	return true
}

func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
}

func (t *tasks) wait() { t.group.Wait() }
