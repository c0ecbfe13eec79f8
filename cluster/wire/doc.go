// Package wire carries bytes between the nodes of a cluster: streams by node id
// and protocol (Network), and calls on top of them (Client, Server).
//
// It knows addresses only through a resolver, certificates only through an
// Authority, and nothing of what it carries.
//
//	Client ─ calls ──┐            ┌── Server ─ Handler
//	Raft's transport ┤  Network   ├── Raft's transport
//	                 └─ Mux, or a Memory node in simulated clusters
//
// What always holds:
//
//   - A connection's PeerID is what its certificate proved, and Dial fails unless
//     that is the node asked for. Nobody else gets past the handshake, and what
//     those can cost is bounded in time and number.
//   - A failed call is ErrNotSent only if its handler did not run and never will.
//     Everything else that failed without an answer is ErrUnknown.
//   - A call holds up no other: each request has a goroutine of its own, beyond a
//     bound it is refused, and peers share nothing but the process.
//   - Whoever opens something closes it, and Close waits for its goroutines.
//   - No lock is held while anything blocks, so that all of this runs under
//     testing/synctest on a Memory.
//
// # The peer protocol, "holdfast-peer/1"
//
// All numbers are big-endian and unsigned. Once the TLS handshake is over, the
// server greets:
//
//	0   4  "HFPR"
//	4   2  version, 1
//	6   2  zero
//	8   4  the greatest body of a request that it takes, in bytes
//
// The client sends nothing before it has read that: in TLS 1.3 a client learns
// only from the first bytes of the server that it was let in, and a request that
// was written before could not be called certainly not sent.
//
// Then both sides send frames:
//
//	0   4  length of what follows this field: 16 and the body's
//	4   1  kind
//	5   1  method of a request, code of a failure, else zero
//	6   2  zero
//	8   8  call id, chosen by the client, never used twice on a connection
//	16  4  of a request: the time it has left, in ms, 0 for no end; else zero
//	20  n  body
//
//	kind 1  request   client to server
//	kind 2  answer    server to client; the body is the handler's
//	kind 3  failure   server to client; the body is text, UTF-8, at most 4096 bytes
//	kind 4  cancel    client to server; nobody waits for the call any longer
//
// Answers come in any order. A body is at most 8 MiB unless both sides are
// configured otherwise. A frame that breaks any of this ends the connection; so
// does an unknown kind: new ones need a new protocol name.
//
// Codes of failures: 1 too many requests of this peer are under way, it did not
// run; 2 the answer is too large; 16 the handler failed; above that, a meaning
// that the handler gave it.
package wire
