package harness

import (
	"errors"
	"net"
)

// FreeAddrs finds addresses on loopback that are free for TCP and UDP. Somebody may take one before a node does; then
// that node says so and the run fails.
func FreeAddrs(n int) ([]string, error) {
	var addrs []string
	for tries := 0; len(addrs) < n && tries < 20*n; tries++ {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer tcp.Close() // only now, so that no port is found twice
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			continue
		}
		defer udp.Close()
		addrs = append(addrs, tcp.Addr().String())
	}
	if len(addrs) < n {
		return nil, errors.New("no free ports on loopback")
	}
	return addrs, nil
}
