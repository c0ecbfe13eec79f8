// Package api is the public HTTP surface of a node: it finds out who asks, reads the request, calls the session service
// and writes the answer. docs/openapi.yaml is its contract.
//
//	handshakes (TLS)  →  conn (two lengths, bare LF, 16 KiB of head)  →  serve (one call)  →  routes  →  handler  →  Sessions
//	                                                                          ↑                             │
//	                                                              fail: one table from codes to problems ←──┘ error
//
// It knows HTTP, the forms of credentials (through api/auth) and the JSON of sessions. It does not know which node leads,
// how a session is stored, or whether a session may do what it asks: Sessions decides that where the data is.
//
// # Invariants
//
//   - Every failure is a problem document with a code of package session; an error that is none of those is logged in
//     full and answered as "internal". All answers "session_invalid" have the same body, byte for byte.
//   - A node's own trouble is never a 401, and a 401 never says which of its reasons it has.
//   - One credential counts: Authorization, else the cookie. What claims to speak for somebody else (forwarding headers,
//     Holdfast-Session and its like) is believed only from those who may.
//   - No token, key, header, query or session data is ever logged.
//   - Each request has one deadline, set in serve, and bounded head, body, connections and time on the wire.
package api
