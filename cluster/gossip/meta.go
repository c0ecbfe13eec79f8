package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// Meta is what a node tells the others about itself.
type Meta struct {
	// ID is the node's id, 1 to 255 bytes; the same as its name in memberlist.
	ID string
	// Cluster is the numeric id of the node's cluster, 0 while it has none.
	Cluster uint64
	// ClusterAddr is where its cluster port is dialled, HOST:PORT. If the host is
	// empty or unspecified, it is that of the node's gossip.
	ClusterAddr string
	// Feature is the level of commands that the node understands.
	Feature uint16
}

// The layout is append-only: readers ignore what comes after the fields they know.
//
//	0   layout, 1
//	1   cluster, uint64, big-endian
//	9   feature, uint16, big-endian
//	11  length of the id, uint8; then the id
//	..  length of the cluster address, uint8; then the address
const (
	metaLayout = 1
	metaFixed  = 11
	maxText    = 255
)

var errMeta = errors.New("malformed gossip metadata")

// encode fails if the metadata do not fit what memberlist carries.
func (m Meta) encode() ([]byte, error) {
	if m.ID == "" || len(m.ID) > maxText || len(m.ClusterAddr) > maxText {
		return nil, fmt.Errorf("gossip metadata: node id of %d and cluster address of %d bytes, want 1 to %d and at most %d",
			len(m.ID), len(m.ClusterAddr), maxText, maxText)
	}
	b := make([]byte, 0, metaFixed+2+len(m.ID)+len(m.ClusterAddr))
	b = append(b, metaLayout)
	b = binary.BigEndian.AppendUint64(b, m.Cluster)
	b = binary.BigEndian.AppendUint16(b, m.Feature)
	b = append(append(b, byte(len(m.ID))), m.ID...)
	b = append(append(b, byte(len(m.ClusterAddr))), m.ClusterAddr...)
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("gossip metadata have %d bytes, at most %d fit: shorten the node id or the cluster address",
			len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

func decodeMeta(b []byte) (Meta, error) {
	if len(b) < metaFixed || b[0] != metaLayout {
		return Meta{}, errMeta
	}
	m := Meta{Cluster: binary.BigEndian.Uint64(b[1:]), Feature: binary.BigEndian.Uint16(b[9:])}
	rest := b[metaFixed:]
	var ok bool
	if m.ID, rest, ok = cutText(rest); !ok || m.ID == "" {
		return Meta{}, errMeta
	}
	if m.ClusterAddr, _, ok = cutText(rest); !ok {
		return Meta{}, errMeta
	}
	return m, nil
}

func cutText(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}
