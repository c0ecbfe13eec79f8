// Command rolling restarts every node of a cluster in turn behind a real load balancer while clients use it, and counts
// what they notice.
//
//	go run ./scripts/rolling -bin bin/holdfast -lb haproxy
//
// It starts three real nodes and the balancer on loopback, the balancer with the project's own file from deploy/lb, in
// which only the addresses are replaced. Clients create sessions, read, patch and end them through the balancer at a
// steady rate, without repeating anything. Each node is then stopped with SIGTERM, which drains it, started again, and
// followed until the balancer sends it requests again; a node that leads comes first. At the end of a round the leader
// hands over without a restart. A stream of events is held open
// through the balancer meanwhile, and must miss nothing and repeat nothing.
//
// It prints a table and ends with 1 if a request failed, if writes paused for longer than they may, or if the run proved
// nothing: too little traffic, or a leader that never changed.
package main
