package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// ports tries to listen where the server would, or finds the server there.
func (c *clinic) ports(ctx context.Context) []finding {
	if c.cfg.NodeID == "" && c.cfg.Config == "" {
		return nil // not a server's flags: the default of http-addr is nobody's wish
	}
	id := c.whoServes(ctx)
	c.running = id != "" && id == c.cfg.NodeID
	var found []finding
	if id != "" && !c.running {
		found = append(found, failure("ports", "two nodes on one machine need ports of their own", "node %s serves at --http-addr %s", id, c.cfg.HTTPAddr))
	}
	for _, p := range []struct {
		flag, addr string
		udp        bool
	}{
		{"http-addr", c.cfg.HTTPAddr, false},
		{"admin-addr", c.cfg.AdminAddr, false},
		{"cluster-addr", c.cfg.ClusterAddr, false},
		{"gossip-addr", c.cfg.GossipAddr, true},
	} {
		if p.addr == "" || p.flag == "http-addr" && id != "" {
			continue
		}
		err := tryListen(ctx, "tcp", p.addr)
		if err == nil && p.udp {
			err = tryListen(ctx, "udp", p.addr)
		}
		if f, odd := c.portFault(p.flag, p.addr, err); odd {
			found = append(found, f)
		}
	}
	switch {
	case len(found) > 0:
	case c.running:
		found = append(found, well("ports", "node %s runs here, and serves at %s", id, c.cfg.HTTPAddr))
	default:
		found = append(found, well("ports", "all are free"))
	}
	return found
}

func (c *clinic) portFault(flag, addr string, err error) (finding, bool) {
	switch {
	case err == nil:
		return finding{}, false
	case errors.Is(err, syscall.EADDRINUSE) && c.running:
		return finding{}, false // by that node, one may believe
	case errors.Is(err, syscall.EADDRINUSE):
		return failure("ports", "stop who listens there (ss -ltnup shows who), or choose another port", "%s %s is in use", flag, addr), true
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return failure("ports", "name an address that this machine has (ip addr shows them), or :PORT for all", "%s %s is not an address of this machine", flag, addr), true
	case errors.Is(err, fs.ErrPermission):
		return failure("ports", "take a port above 1023, or give the server CAP_NET_BIND_SERVICE", "%s %s may not be opened by this user", flag, addr), true
	default:
		return failure("ports", "look at the address", "%s %s: %v", flag, addr, err), true
	}
}

func tryListen(ctx context.Context, network, addr string) error {
	var config net.ListenConfig
	if network == "udp" {
		conn, err := config.ListenPacket(ctx, network, addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	listener, err := config.Listen(ctx, network, addr)
	if err != nil {
		return err
	}
	return listener.Close()
}

// whoServes is the id of the node that answers at http-addr; empty if none does.
func (c *clinic) whoServes(ctx context.Context) string {
	host, port, err := net.SplitHostPort(c.cfg.HTTPAddr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http://"
	if c.cfg.TLSCert != "" {
		scheme = "https://"
	}
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	// Nothing is sent that others must not see, and nothing that counts is believed: only whether the port is this node's.
	// The certificate may well name another host than the one that is dialled here.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	live, body, err := fetchBy(ctx, &http.Client{Transport: transport}, scheme+net.JoinHostPort(host, port)+"/livez")
	if err != nil || live.StatusCode != http.StatusOK {
		return ""
	}
	var answer struct{ Status string }
	if json.NewDecoder(body).Decode(&answer) != nil || answer.Status == "" {
		return ""
	}
	return live.Header.Get("Holdfast-Node")
}

// joins looks for the other nodes: a new node needs at least one of them.
func (c *clinic) joins(ctx context.Context) []finding {
	others := slices.DeleteFunc(slices.Clone(c.cfg.Join), func(addr string) bool { return addr == c.cfg.GossipAddr })
	if len(others) == 0 {
		return nil
	}
	var found []finding
	var reached, silent []string
	for _, addr := range others {
		if err := reach(ctx, addr); err == nil {
			reached = append(reached, addr)
		} else if dns, ok := errors.AsType[*net.DNSError](err); ok {
			found = append(found, failure("join", "mend the name, or the resolver of this machine", "%s: %v", addr, dns))
		} else {
			silent = append(silent, addr)
		}
	}
	switch {
	case len(reached) == 0 && len(silent) > 0:
		found = append(found, warning("join", "start the others; if they run, open their gossip ports, TCP and UDP, between all nodes", "nobody listens at %s", strings.Join(silent, ", ")))
	case len(silent) > 0:
		found = append(found, warning("join", "start it, or open its gossip port, TCP and UDP, to this machine", "nobody listens at %s; %s can be reached", strings.Join(silent, ", "), strings.Join(reached, ", ")))
	case len(reached) > 0:
		found = append(found, well("join", "%s can be reached by TCP", strings.Join(reached, ", ")))
	}
	return found
}

// reach opens a connection and closes it.
func reach(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// hostOf is an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// faultsOf takes joined errors apart, a line each.
func faultsOf(err error) []string { return strings.Split(err.Error(), "\n") }
