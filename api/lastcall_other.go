//go:build !linux

package api

import (
	"errors"
	"net"
)

// openNoMore can do nothing here: the kernel opens connections until the listener is closed.
func openNoMore(net.Listener) error { return errors.ErrUnsupported }
