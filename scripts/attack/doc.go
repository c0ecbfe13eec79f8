// Command attack throws bad input at three real Holdfast nodes over real sockets, and prints a table: what was sent, what
// was expected, what came, and whether that is right. It ends with 1 if a row is wrong. It knows the contract (the HTTP
// API), and nothing of the code behind it.
//
// It starts its own nodes, with keys of their own and a login issuer that it serves itself, and ends them on every way
// out. The groups:
//
//	http        what two parsers may read differently; sizes, types, bodies; stalled and slow connections
//	https       the same heads through TLS; floods and forbidden frames of HTTP/2, against a fourth node
//	tokens      session tokens that are nearly right, in the wrong place, or somebody else's
//	rotation    a used-up token ends its session and the thief's (waits for a minute, beside the other groups)
//	identical   answers to all bad tokens are the same, byte for byte
//	jwt         forged login JWTs, and the issuer's key set when it misbehaves
//	logout      forged and repeated back-channel logout tokens
//	headers     headers that claim, and what must not break a line of the log
//	index       Holdfast-Index that is malformed, another cluster's, or beyond the log
//	rights      what each credential must not do
//	introspect  who may ask, and for how much
//	between     bytes and certificates of strangers at the ports between nodes
//	garbage     two hundred clients with tokens of nobody, in quiet and while the leader is killed
//	canary      every secret that was used is looked for in logs, metrics, events and all files
//
// -short leaves out the rows that wait for long, and says which.
package main
