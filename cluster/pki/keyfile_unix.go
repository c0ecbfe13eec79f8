//go:build unix

package pki

import (
	"errors"
	"io/fs"
)

// checkMode refuses files that others may read or write. A pipe or a device, as
// a shell's process substitution makes one, has no mode that says anything.
func checkMode(mode fs.FileMode) error {
	if mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return errors.New("may be read by others than its owner")
	}
	return nil
}
