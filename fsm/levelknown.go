//go:build !holdfast_level1

package fsm

// knownLevel is the highest feature level that this release understands.
const knownLevel = levelOperated
