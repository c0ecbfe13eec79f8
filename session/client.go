package session

import (
	"net/netip"
	"strings"
)

// ClientChange is what the operator wants done when a session is used from
// another network or by another user agent than before.
type ClientChange uint8

// What may be done. Values are stored in commands: append only.
const (
	ClientChangeOff    ClientChange = iota
	ClientChangeLog                 // an event says so
	ClientChangeRevoke              // the session ends
)

var clientChangeNames = [...]string{"off", "log", "revoke"}

// String returns the lower-case name.
func (c ClientChange) String() string {
	if int(c) >= len(clientChangeNames) {
		return "unknown"
	}
	return clientChangeNames[c]
}

// ParseClientChange reads a lower-case name; anything else is ErrInvalidRequest.
func ParseClientChange(s string) (ClientChange, error) {
	for c, name := range clientChangeNames {
		if name == s {
			return ClientChange(c), nil
		}
	}
	return 0, ErrInvalidRequest.With("%q must be one of %s", trimmed(s, 32), strings.Join(clientChangeNames[:], ", "))
}

// Reasons of suspicious events. They are stored: append only.
const (
	SuspiciousNetwork   = "network_changed"
	SuspiciousUserAgent = "user_agent_changed"
	SuspiciousReuse     = "token_reused" // a token that was rotated away before
)

// Strange says why c looks like another device than d: it comes from another
// network, or is another program. Empty means that it does not. What is not
// known of either is not strange.
func (d *Device) Strange(c Client) (reason string) {
	switch {
	case d.IP != "" && c.IP != "" && d.IP != c.IP && !sameNetwork(d.IP, c.IP):
		return SuspiciousNetwork
	case d.UserAgent != "" && c.UserAgent != "" && d.UserAgent != c.UserAgent && program(d.UserAgent) != program(c.UserAgent):
		return SuspiciousUserAgent
	}
	return ""
}

// Networks that count as one place: a phone's address changes within them.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// sameNetwork says whether two addresses are of one /24 (IPv4) or /48 (IPv6).
// What is no address is the same as itself alone.
func sameNetwork(a, b string) bool {
	x, errX := network(a)
	y, errY := network(b)
	return errX == nil && errY == nil && x == y
}

func network(s string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.Prefix(networkBits4)
	}
	return addr.Prefix(networkBits6)
}

// program is a user agent without its version numbers: an update that a browser
// has given itself is not another browser.
func program(agent string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' || r == '_' {
			return -1
		}
		return r
	}, agent)
}
