package needed

import (
	"path/filepath"
	"testing"
)

// asked is a test that writes down how it was ended.
type asked struct {
	testing.TB
	fatal, skipped bool
}

func (a *asked) Helper()      {}
func (a *asked) Fatal(...any) { a.fatal = true }
func (a *asked) Skip(...any)  { a.skipped = true }

func TestAMissingProgramSkipsTheTestUnlessItIsRequired(t *testing.T) {
	for _, test := range []struct {
		name, program, required string
		fatal, skipped          bool
	}{
		{"there", "sh", "required", false, false},
		{"missing", "no-such-program", "", false, true},
		{"missing and required", "no-such-program", "required", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(variable, test.required)
			a := &asked{TB: t}
			path := Program(a, test.program)
			if a.fatal != test.fatal || a.skipped != test.skipped {
				t.Errorf("fatal %t, skipped %t", a.fatal, a.skipped)
			}
			if !test.fatal && !test.skipped && !filepath.IsAbs(path) {
				t.Errorf("found at %q", path)
			}
		})
	}
}
