// Package pki turns the one secret of a cluster into the certificates that its
// nodes show each other.
//
// It knows keys, certificates and the rule that says whose certificate is a
// node's; it knows nothing of addresses, connections or Raft.
//
//	cluster key ──HKDF──> name (16 hex digits)     holdfast://<name>/node/<id>
//	            ──HKDF──> gossip key
//	            ──HKDF──> Ed25519 seed ──> certificate authority ──> this node's leaf
//
// What always holds:
//
//   - The authority is a function of the key alone: every node that has the key
//     derives the same one, and nothing about it is ever stored or sent. So
//     whoever holds the key can be any node.
//   - A key is never printed: Key hides itself from fmt, slog and encoders, and
//     Reveal is the only way to its text. Errors name a file and a line, never
//     what stands there.
//   - A certificate is a node's if it chains to the authority of a key that is
//     valid now, holds exactly one URI, and that URI is
//     holdfast://<name of that key>/node/<id>. Names, addresses and the
//     system's own roots mean nothing.
//   - Only TLS 1.3, always mutual, never resumed: each connection is a full
//     handshake under the keys of its moment.
//   - No goroutine: a leaf is renewed by the handshake that finds it old.
package pki
