// Package load drives running Holdfast nodes over HTTP and measures what they answer.
//
// It knows the few calls that it makes (create, read, patch a session) and nothing of how a node works: it imports the
// standard library alone, so that the `bench` verb of the binary and scripts/bench measure with the very same client.
//
// The client is lean on purpose. Go's http.Client costs more processor time for a small request than the server that
// answers it, and on one machine the two compete: it would halve every figure. Here one goroutine owns one keep-alive
// connection, writes a request built by hand in one call, and parses the answer in the buffer that it was read into.
//
// Invariants:
//   - Every run ends by itself: at its duration or count, at the latest at its hard deadline, at once with its context.
//   - Every request that was begun after the warm-up is counted exactly once: as an operation, as an error, or as
//     abandoned because the run was interrupted while its answer was outstanding.
//   - The loop is closed: a client has one request outstanding. With Options.RatePerSecond requests have due times, and
//     the latency of a request that had to wait for its predecessor counts from its due time.
//   - Clients are dealt to the nodes in turn. A client that loses its connection counts an error and goes on with the
//     next node, as a load balancer would.
//   - Tokens never appear in a result.
package load
