package cluster

import "sync"

// hashHistory is how many recent state hashes a node remembers. A follower that
// is further behind than this is compared once it has caught up.
const hashHistory = 8192

// hashes remembers the state hash after each of the last entries, so that the
// leader can compare its own past with what a follower says about its present.
type hashes struct {
	mu   sync.Mutex
	ring [hashHistory]struct{ index, hash uint64 }
}

func (h *hashes) record(index, hash uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slot := &h.ring[index%hashHistory]
	slot.index, slot.hash = index, hash
}

func (h *hashes) at(index uint64) (hash uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slot := h.ring[index%hashHistory]
	return slot.hash, slot.index == index && index != 0
}

// forget drops everything: an archive has replaced the state.
func (h *hashes) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.ring[:])
}
