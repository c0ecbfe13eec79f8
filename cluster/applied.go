package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// appliedPatience is how long a member may take to apply an index that somebody
// waits for everywhere.
const appliedPatience = 2 * time.Second

// Applied waits until every member that can be reached has applied index, and
// names the members of the configuration that have and those that have not,
// both sorted. It waits for two seconds at most.
func (n *Node) Applied(ctx context.Context, index uint64) (on, missing []string, err error) {
	if n.ctx.Err() != nil {
		return nil, nil, n.closedError()
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(appliedPatience))
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, server := range n.configuration().Servers {
		all.Go(func() {
			err := n.appliedOn(ctx, server.ID, index)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing = append(missing, string(server.ID))
			} else {
				on = append(on, string(server.ID))
			}
		})
	}
	all.Wait()
	slices.Sort(on)
	slices.Sort(missing)
	return on, missing, nil
}

func (n *Node) appliedOn(ctx context.Context, id raft.ServerID, index uint64) error {
	if string(id) == n.cfg.NodeID {
		return n.mark.wait(ctx, index)
	}
	if n.machine.Cluster() == 0 { // this node has applied nothing yet, and does not know its cluster
		if err := n.mark.wait(ctx, index); err != nil {
			return err
		}
	}
	body := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.machine.Cluster()), index)
	_, err := n.call(ctx, string(id), methodApplied, body)
	return err
}

var errOtherCluster = errors.New("this node is of another cluster")

// serveApplied answers once this node has applied an index of its cluster's log.
func (n *Node) serveApplied(ctx context.Context, body []byte) error {
	if len(body) != 16 {
		return errMalformed
	}
	// A node that has applied nothing yet does not know its cluster: either end
	// may be one.
	theirs := binary.BigEndian.Uint64(body)
	if ours := n.machine.Cluster(); ours != theirs && ours != 0 && theirs != 0 {
		return errOtherCluster
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.scaled(appliedPatience))
	defer cancel()
	if err := n.mark.wait(ctx, binary.BigEndian.Uint64(body[8:])); err != nil {
		return err
	}
	if theirs != 0 && n.machine.Cluster() != theirs {
		return errOtherCluster
	}
	return nil
}
