package gossip

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// endpoint is an address with its host resolved: memberlist knows only numbers.
type endpoint struct {
	ip   net.IP
	port int
}

func (e endpoint) String() string { return net.JoinHostPort(e.ip.String(), strconv.Itoa(e.port)) }

// resolve gives every endpoint of HOST:PORT; an empty host is 0.0.0.0.
func resolve(ctx context.Context, addr string) ([]endpoint, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return []endpoint{{ip: net.IPv4zero, port: port}}, nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	endpoints := make([]endpoint, 0, len(ips))
	for _, ip := range ips {
		endpoints = append(endpoints, endpoint{ip: shortest(ip.IP), port: port})
	}
	return endpoints, nil
}

func resolveOne(ctx context.Context, addr string) (endpoint, error) {
	all, err := resolve(ctx, addr)
	if err != nil {
		return endpoint{}, err
	}
	if len(all) == 0 {
		return endpoint{}, fmt.Errorf("%s has no address", addr)
	}
	return all[0], nil
}

func shortest(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}

// reachable is the address that a node which listens everywhere tells the others:
// a private one if there is any, for that is where clusters live, else a public
// one, else loopback, which does for a cluster on one machine.
func reachable() (net.IP, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("look for an address to advertise: %w", err)
	}
	var best net.IP
	rank := 0
	for _, a := range addrs {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip := shortest(network.IP)
		if r := rankOf(ip); r > rank {
			best, rank = ip, r
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no interface has an address to advertise: give one")
	}
	return best, nil
}

func rankOf(ip net.IP) int {
	rank := 0
	switch {
	case ip.IsPrivate():
		rank = 6
	case ip.IsGlobalUnicast():
		rank = 4
	case ip.IsLoopback():
		rank = 2
	default:
		return 0
	}
	if len(ip) == net.IPv4len {
		rank++
	}
	return rank
}
