package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// strangerWait is how long a stranger waits for bytes that must not come.
const strangerWait = 2 * time.Second

// protocols are those that nodes tell apart by ALPN (docs/formats.md), and none.
var protocols = [][]string{{"holdfast-raft/1"}, {"holdfast-peer/1"}, {"h2", "http/1.1"}, nil}

// betweenRows are strangers at the ports that only nodes may use.
func (a *attack) betweenRows(ctx context.Context) ([]row, error) {
	before, err := a.status(ctx)
	if err != nil {
		return nil, err
	}
	certificate, err := selfMade(a.nodes[1].id)
	if err != nil {
		return nil, err
	}
	rows := []row{
		steps("random bytes to the cluster port", "no answer but a TLS alert, closed", a.toClusterPort(func() []byte { return randomBytes(4096) })),
		steps("an HTTP request to the cluster port", "no answer but a TLS alert, closed", a.toClusterPort(func() []byte {
			return []byte("GET /cluster/status HTTP/1.1\r\nHost: x\r\n\r\n")
		})),
		steps("a TLS record of 64 KiB to the cluster port", "no answer but a TLS alert, closed", a.toClusterPort(func() []byte {
			return append([]byte("\x16\x03\x01\xff\xff"), randomBytes(64<<10)...)
		})),
	}
	for _, names := range protocols {
		rows = append(rows,
			steps(fmt.Sprintf("TLS without a certificate, ALPN %v", names), "refused", a.handshake(&tls.Config{NextProtos: names})),
			steps(fmt.Sprintf("TLS with a self-made certificate of n2, ALPN %v", names), "refused",
				a.handshake(&tls.Config{NextProtos: names, Certificates: []tls.Certificate{certificate}})))
	}
	return append(
		rows,
		steps("TLS 1.2 to the cluster port", "refused", a.handshake(&tls.Config{
			NextProtos: protocols[0], MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		})),
		steps("random UDP to the gossip port", "no answer", a.udpToGossip),
		steps("random TCP to the gossip port", "no answer", a.tcpToGossip),
		steps("gossip in plain text, labelled", "no answer", a.plainGossip),
		steps("a node with another cluster's key", "never ready, not a member", a.otherKey),
		steps("status after all of these", "healthy, the same leader and members", func(ctx context.Context) verdict {
			after, err := a.status(ctx)
			switch {
			case err != nil:
				return wrong("%v", err)
			case !after.Healthy || after.Leader != before.Leader || len(after.Members) != len(before.Members):
				return wrong("before %+v, after %+v", before, after)
			}
			return right("healthy, %s leads", after.Leader)
		}),
		a.validLogs(),
	), nil
}

func randomBytes(n int) []byte {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return raw
}

// toClusterPort sends bytes to each node. TLS may answer with an alert (record type 21), and nothing else.
func (a *attack) toClusterPort(bytes func() []byte) func(context.Context) verdict {
	return func(ctx context.Context) verdict {
		for _, n := range a.nodes {
			got, err := exchange(ctx, n.clusterAddr, bytes())
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return wrong("%s keeps the connection open", n.id)
			case len(got) > 0 && (got[0] != 21 || len(got) > 16):
				return wrong("%s answered %.40q", n.id, got)
			}
		}
		return right("closed by all three")
	}
}

// exchange sends bytes and reads until the other end hangs up, or for as long as a handshake may take.
func exchange(ctx context.Context, addr string, bytes []byte) ([]byte, error) {
	connection, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(headLimit + limitSlack))
	_, _ = connection.Write(bytes) // the node may have hung up already
	got, err := io.ReadAll(io.LimitReader(connection, 64<<10))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return got, err
	}
	return got, nil // however else it ended
}

// handshake tries to become a peer of each node. With TLS 1.3 the refusal of a certificate comes after the client's own
// end of the handshake: it is seen by reading.
func (a *attack) handshake(config *tls.Config) func(context.Context) verdict {
	return func(ctx context.Context) verdict {
		last := ""
		for _, n := range a.nodes {
			connection, err := dial(ctx, n.clusterAddr)
			if err != nil {
				return wrong("%v", err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(headLimit + limitSlack))
			client := config.Clone()
			client.InsecureSkipVerify = true // a stranger does not care who answers
			secure := tls.Client(connection, client)
			if err = secure.HandshakeContext(ctx); err == nil {
				_, _ = secure.Write([]byte("hello"))
				_, err = secure.Read(make([]byte, 1))
			}
			switch {
			case err == nil:
				return wrong("%s talks to a stranger", n.id)
			case errors.Is(err, os.ErrDeadlineExceeded):
				return wrong("%s keeps a stranger's connection open", n.id)
			}
			last = err.Error()
		}
		return right("%s", last)
	}
}

// selfMade is a certificate like a node's, of an authority that nobody trusts.
func selfMade(id string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{{Scheme: "holdfast", Host: "0123456789abcdef", Path: "/node/" + id}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (a *attack) udpToGossip(ctx context.Context) verdict {
	return a.udp(func(i int) []byte { return randomBytes(1 + i*14) })
}

// plainGossip looks like memberlist's messages (a label, a type byte and msgpack), which must be encrypted to count.
func (a *attack) plainGossip(ctx context.Context) verdict {
	return a.udp(func(i int) []byte {
		return append([]byte{244, 8}, append([]byte("holdfast"), append([]byte{byte(i)}, "\x82\xa4Node\xa2n1\xa5SeqNo\x01"...)...)...)
	})
}

// udp sends a hundred packets to each node and wants silence.
func (a *attack) udp(packet func(i int) []byte) verdict {
	for _, n := range a.nodes {
		connection, err := net.Dial("udp", n.gossipAddr)
		if err != nil {
			return wrong("%v", err)
		}
		defer connection.Close()
		for i := range 100 {
			if _, err := connection.Write(packet(i)); err != nil {
				return wrong("%v", err)
			}
		}
		_ = connection.SetReadDeadline(time.Now().Add(strangerWait / 4))
		if size, err := connection.Read(make([]byte, 2048)); err == nil {
			return wrong("%s answered with %d bytes", n.id, size)
		}
	}
	return right("no answer")
}

func (a *attack) tcpToGossip(ctx context.Context) verdict {
	for _, n := range a.nodes {
		for i := range 10 {
			connection, err := dial(ctx, n.gossipAddr)
			if err != nil {
				return wrong("%v", err)
			}
			_ = connection.SetDeadline(time.Now().Add(strangerWait / 4))
			_, _ = connection.Write(randomBytes(1 + i*500))
			size, _ := connection.Read(make([]byte, 2048))
			connection.Close()
			if size > 0 {
				return wrong("%s answered with %d bytes", n.id, size)
			}
		}
	}
	return right("no answer")
}

// otherKey starts a fourth node that knows everything but the cluster's key.
func (a *attack) otherKey(ctx context.Context) verdict {
	dir := filepath.Join(a.dir, "stranger")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return wrong("%v", err)
	}
	keyFile := filepath.Join(dir, "cluster.key")
	if _, err := a.cluster.createClusterKey(ctx, keyFile); err != nil {
		return wrong("%v", err)
	}
	ports, err := harness.FreeAddrs(3)
	if err != nil {
		return wrong("%v", err)
	}
	n := &node{id: "n4", httpAddr: ports[0], clusterAddr: ports[1], gossipAddr: ports[2], logFile: filepath.Join(dir, "n4.log")}
	n.args = []string{
		"server", "--node-id", n.id, "--data-dir", filepath.Join(dir, "data"), "--http-addr", n.httpAddr, "--cluster-addr", n.clusterAddr,
		"--gossip-addr", n.gossipAddr, "--join", a.nodes[0].gossipAddr + "," + a.nodes[1].gossipAddr, "--bootstrap-expect", "0",
		"--cluster-key-file", keyFile, "--keys-file", filepath.Join(a.dir, "keys.json"),
	}
	if err := a.cluster.start(n); err != nil {
		return wrong("%v", err)
	}
	defer n.process.Load().Kill()
	if err := harness.Pause(ctx, 4*time.Second); err != nil {
		return wrong("%v", err)
	}
	if n.process.Load().Ended() {
		if raw, _ := os.ReadFile(n.logFile); len(raw) > 0 {
			return wrong("it did not even try: %.300s", raw)
		}
	}
	after, err := a.status(ctx)
	if err != nil {
		return wrong("%v", err)
	}
	var ids []string
	for _, m := range after.Members {
		ids = append(ids, m.ID)
	}
	if n.probe(ctx, "/readyz") || slices.Contains(ids, n.id) {
		return wrong("ready, or a member: %v", ids)
	}
	return right("not a member")
}
