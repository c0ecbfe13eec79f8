// Package harness is what the programs in scripts have in common: processes that end with the program that started them,
// addresses that are free, and waiting for what must become true.
package harness
