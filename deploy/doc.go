// Package deploy holds what a node is run with: units of systemd, images, manifests, blueprints, and the configurations
// of load balancers and monitoring. It has no code, only the tests that keep these files true.
//
// What can be run here is run: the binary with the settings that a file gives it, and the checkers of the programs that
// read the files. What cannot is held to the rules that its README names: no probe of life asks for the quorum, no node
// is stopped faster than it drains, no two nodes share a name or a disk. scripts/rolling runs the load balancers.
package deploy
