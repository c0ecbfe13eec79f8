// Command holdfast is the one binary of Holdfast: the server, the development cluster, and every verb that an operator
// needs against running nodes or files on this machine.
//
// It is the only place that knows all the other packages. It owns no behaviour of theirs: it reads the configuration,
// opens the parts in the order in which they depend on each other, hands each the others behind the interface that it
// asks for, and closes them in reverse. One file holds one verb; server.go is the wiring; drain.go is the way out.
//
//	flags > HOLDFAST_ environment > --config file         parse.go
//	    │
//	  Config ── Validate: all faults at once, exit 2      config.go, parts.go
//	    │
//	  storage → fsm.Machine → cluster.Node → fsm.Sessions → api.Server → listeners  server.go, service.go
//	    │
//	  Run: ready │ serve │ drain                          run.go, drain.go
//
// # Exit codes
//
// 0 done, 1 failed, 2 wrong usage. Nothing else, whatever a library returns.
//
// # Invariants
//
//   - Secrets are printed by `keys create` and `dev` alone, once, to the terminal of the person who asked. They are in
//     no log line, no error and no other verb's output.
//   - A file that holds a secret is created with mode 0600 and never replaces another.
//   - A flag has the same name in the environment, in the file and in the struct's field.
package main
