package fsm

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// update rewrites the golden files and the scripts' expected outcomes. What is
// golden is a promise to every release to come: look at the difference.
var update = flag.Bool("update", false, "rewrite the files in testdata")

// TestMain keeps the model test short (-rapid.checks asks for more), and fails
// the run if a goroutine is left.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	flag.Parse()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
