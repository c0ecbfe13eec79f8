package cluster

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Feature levels are the machine's own business; this file carries what each
// node knows to the leader, and keeps out whom the log would break.

// firstLevel is what releases know that announce no level.
const firstLevel = 1

// appendKnown is how a join and a question end: the level that a node knows and
// the number of its data directory.
func appendKnown(b []byte, level uint16, store uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(b, level), store)
}

// decodeStore reads what follows the level, 0 where it is left out.
func decodeStore(b []byte) uint64 {
	if len(b) < 2+8 {
		return 0
	}
	return binary.BigEndian.Uint64(b[2:])
}

// decodeLevel reads the end of a message that releases before levels leave out.
func decodeLevel(b []byte) uint16 {
	if len(b) < 2 {
		return firstLevel
	}
	return max(firstLevel, binary.BigEndian.Uint16(b))
}

// MemberLevel is, on the leader, the highest feature level that every member of
// the configuration has announced within the last second; 0 where one is silent
// and on all other nodes. A member that is down may come back with an older
// release, so it counts as silent.
func (n *Node) MemberLevel() uint16 {
	if !n.Leading() {
		return 0
	}
	_, lowest := n.machine.Level()
	now := time.Now()
	for _, s := range n.configuration().Servers {
		if string(s.ID) == n.cfg.NodeID {
			continue
		}
		f, ok := n.followers.get(string(s.ID))
		if !ok || now.Sub(f.heard) > n.cfg.scaled(time.Second) {
			return 0
		}
		lowest = min(lowest, f.level)
	}
	return lowest
}

// checkLevel refuses a node whose release would not understand the log.
func (n *Node) checkLevel(id string, known uint16) error {
	reached, _ := n.machine.Level()
	if known >= reached {
		return nil
	}
	return fmt.Errorf("this cluster is at feature level %d and node %s runs a release that knows level %d: upgrade that node",
		reached, id, known)
}
