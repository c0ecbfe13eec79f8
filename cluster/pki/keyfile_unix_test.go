//go:build unix

package pki

import (
	"io/fs"
	"testing"
)

func TestOnlyAFileOfRootsMayBeReadByItsGroup(t *testing.T) {
	for _, test := range []struct {
		mode           fs.FileMode
		ofRoot, asRoot bool
		want           bool
	}{
		{0o600, false, false, true},
		{0o400, true, true, true},
		{0o440, true, false, true}, // a mounted secret
		{0o640, true, false, true},
		{0o640, false, false, false},
		{0o640, true, true, false}, // root reads its own files as their owner
		{0o660, true, false, false},
		{0o444, true, false, false},
		{0o604, true, false, false},
	} {
		if got := private(test.mode, test.ofRoot, test.asRoot); got != test.want {
			t.Errorf("mode %o, of root %t, read as root %t: %t", test.mode, test.ofRoot, test.asRoot, got)
		}
	}
}
