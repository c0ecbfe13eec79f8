// Package needed lets a test say which installed programs it needs beside Go.
//
// scripts/ci-packages installs them, and `make test` runs it first. Where that could not be done a test that needs one
// is skipped; HOLDFAST_TOOLS=required, which `make test` sets once everything is there, has it fail instead, so that
// no check is left out without a word.
package needed

import (
	"os"
	"testing"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// variable says what becomes of a test whose program is missing.
const variable = "HOLDFAST_TOOLS"

// Program is the path of a program that the test can not do without.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := harness.Program(name)
	switch {
	case err == nil:
	case os.Getenv(variable) == "required":
		t.Fatal(err)
	default:
		t.Skip("NOT CHECKED: ", err)
	}
	return path
}
