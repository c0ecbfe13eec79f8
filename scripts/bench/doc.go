// Command bench measures three real Holdfast nodes on loopback, and prints every figure that the project has set itself
// beside what it is measured against. `make bench` runs it.
//
// What a throughput figure is worth depends on the machine. So each is given as a ratio to a floor: a plain net/http
// server in a process of its own that answers the very bytes of a node's GET from memory, driven by the same client with
// the same number of connections, once before and once after each measurement. Writes are compared with the same floor.
//
// The phases, each with nodes and a data directory of its own:
//
//	throughput  GET, create, PATCH, mixed; PATCH of one client beside raft-boltdb's append with fsync
//	million     GET with ten thousand and with a million sessions, Go heap, restart after kill -9
//	expiry      a million sessions that expire in the same second, under a steady load
//	failover    kill -9 of the leader, again and again, under a steady load on the surviving nodes
//
// It ends only the processes that it started, on every way out; on Linux the kernel sees to it even if it is killed.
package main
