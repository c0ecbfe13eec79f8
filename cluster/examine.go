package cluster

import (
	"errors"
	"fmt"
	"io/fs"
)

// Examined is what a data directory says of itself to somebody who only looks.
type Examined struct {
	NodeID string // whose it is
	Key    string // the name of the cluster key that it was last used with
}

// Examine reads whose the data directory is, and says what would keep the node
// nodeID with the keys of these names from using it. An empty nodeID, or no keys,
// is not compared. It writes nothing, and may be called while a node runs. A
// directory without an identity belongs to nobody yet: fs.ErrNotExist.
func Examine(dir, nodeID string, keys []string) (Examined, error) {
	found, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Examined{}, fs.ErrNotExist
	}
	if err != nil {
		return Examined{}, fmt.Errorf("%s: %w", identityFile, err)
	}
	seen := Examined{NodeID: found.NodeID, Key: found.Cluster}
	if nodeID != "" && found.NodeID != nodeID {
		return seen, fmt.Errorf("it belongs to node %q, this node is %q", found.NodeID, nodeID)
	}
	if len(keys) == 0 {
		return seen, nil
	}
	if _, ok := found.follow(keys); !ok {
		return seen, fmt.Errorf("it belongs to the cluster of key %s, this node's key is of %s", found.Cluster, keys[0])
	}
	return seen, nil
}
