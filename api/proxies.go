package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// maxForwardedHops bounds the walk through the forwarding headers; a longer way is not believed beyond it.
const maxForwardedHops = 32

// proxies are the peers that may say whom they speak for.
type proxies []netip.Prefix

func (p proxies) trust(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// client is the address of the client. It is the connection's, unless that is a trusted proxy: then the list of
// addresses that proxies have appended to is walked from the right, over the trusted ones, to the first that is not
// trusted. What stands left of it is the client's own word. X-Forwarded-For is used if there, else Forwarded (RFC 7239).
func (p proxies) client(r *http.Request) string {
	if len(p) == 0 {
		return hostOf(r.RemoteAddr)
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return hostOf(r.RemoteAddr)
	}
	address := peer.Addr().Unmap().WithZone("")
	if !p.trust(address) {
		return address.String()
	}
	hops := forwardedFor(r.Header)
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxForwardedHops; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break // "unknown", a hidden name, or rubbish: the last address that is known stands
		}
		address = hop
		if !p.trust(hop) {
			break
		}
	}
	return address.String()
}

// hostOf is the address part of an address with a port, in the form that netip writes.
func hostOf(addressPort string) string {
	if i := strings.LastIndexByte(addressPort, ':'); i >= 0 {
		return strings.TrimSuffix(strings.TrimPrefix(addressPort[:i], "["), "]")
	}
	return addressPort
}

// forwardedFor lists the hops in the order in which they were appended.
func forwardedFor(h http.Header) []string {
	if lines := h["X-Forwarded-For"]; len(lines) > 0 {
		return strings.Split(strings.Join(lines, ","), ",")
	}
	var hops []string
	for _, line := range h["Forwarded"] {
		for _, element := range splitUnquoted(line, ',') {
			hop := "" // an element without a for= hides the hop
			for _, pair := range splitUnquoted(element, ';') {
				name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
				if strings.EqualFold(name, "for") {
					hop = strings.Trim(value, `"`)
				}
			}
			hops = append(hops, hop)
		}
	}
	return hops
}

// splitUnquoted splits at a separator outside quoted strings.
func splitUnquoted(text string, separator byte) []string {
	var parts []string
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && text[i] == separator:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// parseHop reads an address with or without a port, an IPv6 one with or without brackets.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return address.Unmap().WithZone(""), true
}

// parseClientIP reads Holdfast-Client-IP.
func parseClientIP(text string) (string, error) {
	address, err := netip.ParseAddr(strings.Trim(text, " \t"))
	if err != nil {
		return "", session.ErrInvalidRequest.With("the header Holdfast-Client-IP must be an IPv4 or IPv6 address without a port")
	}
	return address.Unmap().WithZone("").String(), nil
}
