package wire

import (
	"context"
	"errors"
	"net"
)

// The protocols of the cluster port, told apart by ALPN.
const (
	ProtocolRaft = "holdfast-raft/1"
	ProtocolPeer = "holdfast-peer/1"
)

// Network is how nodes reach each other: by node id and protocol. Mux is the
// real one, Memory's nodes are its twin for simulated clusters.
type Network interface {
	// Listen serves a protocol, one listener each. The connections that it
	// accepts are authenticated and have a method PeerID() string; see PeerID.
	Listen(protocol string) (net.Listener, error)
	// Dial opens a connection to the node id, and fails if anybody else answers.
	// Without a deadline in ctx it has one of its own.
	Dial(ctx context.Context, id, protocol string) (net.Conn, error)
	// Close ends every listener and connection, and waits for its goroutines.
	Close() error
}

// PeerID is the id of the node at the other end of a connection that a Network
// made, as its certificate proved it; empty for any other connection.
func PeerID(conn net.Conn) string {
	if c, ok := conn.(interface{ PeerID() string }); ok {
		return c.PeerID()
	}
	return ""
}

// Errors of Dial and Listen.
var (
	// ErrUnknownNode: nobody knows an address of that node.
	ErrUnknownNode = errors.New("no address is known")
	// ErrRefused: nobody listens there, or not for that protocol.
	ErrRefused = errors.New("connection refused")
	// ErrTaken: the protocol has a listener already.
	ErrTaken = errors.New("protocol is served already")
)
