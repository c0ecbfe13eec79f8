//go:build holdfast_level1

package fsm

// knownLevel of a build that stands for an older release, in tests of upgrades.
const knownLevel = levelFirst
