package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// httpsRows attack a node that serves clients by TLS itself, by HTTP/1 and HTTP/2.
func (a *attack) httpsRows(ctx context.Context) ([]row, error) {
	n, err := a.startAlone(ctx)
	if err != nil {
		return nil, err
	}
	a.alone = append(a.alone, n)
	s, err := a.created(ctx, request{node: n, method: "POST", path: createPath, body: `{"user_id":"tls"}`, auth: "Bearer " + a.cluster.service})
	if err != nil {
		return nil, err
	}
	rows := []row{
		waits("a connection without a byte, TLS", "closed in time, others served", func(ctx context.Context) verdict {
			return a.stall(ctx, n, s, headLimit, "")
		}),
		waits("a TLS hello that stops", "closed in time, others served", func(ctx context.Context) verdict {
			return a.stall(ctx, n, s, headLimit, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		}),
	}
	rows = append(rows, a.http2Rows(n, s)...)
	for _, r := range headRows(n) {
		r.input += ", TLS"
		rows = append(rows, r)
	}
	return append(
		rows,
		steps("plain HTTP to the TLS port", "4xx or closed", func(ctx context.Context) verdict { return plainToTLS(ctx, n) }),
		steps("TLS 1.1", "refused", func(ctx context.Context) verdict { return oldTLS(ctx, n) }),
		steps("the session after all of these", "200", func(ctx context.Context) verdict {
			got := ask(ctx, strongRead(n, s.token))
			return verdict{got: got.String(), wrong: status(http.StatusOK).check(got)}
		}),
	), nil
}

// startAlone starts a node that is a cluster of its own, with a certificate of its own.
func (a *attack) startAlone(ctx context.Context) (*node, error) {
	dir := filepath.Join(a.dir, "alone")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := writeCertificate(certificate, key); err != nil {
		return nil, err
	}
	keyFile := filepath.Join(dir, "cluster.key")
	text, err := a.cluster.createClusterKey(ctx, keyFile)
	if err != nil {
		return nil, err
	}
	a.secrets.add("the cluster key of the node that is alone", text)
	ports, err := harness.FreeAddrs(3)
	if err != nil {
		return nil, err
	}
	n := &node{
		id: "tls1", httpAddr: ports[0], clusterAddr: ports[1], gossipAddr: ports[2], secure: true,
		dir: filepath.Join(dir, "data"), logFile: filepath.Join(dir, "tls1.log"),
	}
	n.args = []string{
		"server", "--node-id", n.id, "--data-dir", n.dir, "--http-addr", n.httpAddr, "--cluster-addr", n.clusterAddr,
		"--gossip-addr", n.gossipAddr, "--join", n.gossipAddr, "--bootstrap-expect", "1", "--cluster-key-file", keyFile,
		"--keys-file", filepath.Join(a.dir, "keys.json"), "--tls-cert", certificate, "--tls-key", key,
		"--log-level", "debug", "--access-log", "all", "--log-format", "json",
	}
	if err := a.cluster.start(n); err != nil {
		return nil, err
	}
	if err := n.awaitReady(ctx); err != nil {
		raw, _ := os.ReadFile(n.logFile)
		return nil, fmt.Errorf("wait for the node with TLS: %w: %.1000s", err, raw)
	}
	return n, nil
}

func writeCertificate(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
}

func plainToTLS(ctx context.Context, n *node) verdict {
	got, err := exchange(ctx, n.httpAddr, []byte("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"))
	first, _, _ := bytes.Cut(got, []byte("\r\n"))
	switch {
	case err != nil:
		return wrong("the connection stays open")
	case len(got) == 0:
		return right("closed")
	case !bytes.HasPrefix(first, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(first, []byte("HTTP/1.0 4")):
		return wrong("%.60q", got)
	}
	return right("%s", first)
}

func oldTLS(ctx context.Context, n *node) verdict {
	connection, err := dial(ctx, n.httpAddr)
	if err != nil {
		return wrong("%v", err)
	}
	defer connection.Close()
	old := anyCertificate()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(connection, old).HandshakeContext(ctx); err == nil {
		return wrong("accepted")
	} else {
		return right("%v", err)
	}
}

// overHTTP2 is a client whose requests are HTTP/2, or fail.
func overHTTP2() *http.Client {
	var only http.Protocols
	only.SetHTTP2(true)
	return &http.Client{Transport: &http.Transport{DisableCompression: true, TLSClientConfig: anyCertificate(), Protocols: &only}}
}

// http2Rows are requests, frames and floods of HTTP/2.
func (a *attack) http2Rows(n *node, s owned) []row {
	client := overHTTP2()
	by2 := func(input string, r request, want expectation) row {
		r.node = n
		return sends("HTTP/2: "+input, func(ctx context.Context) answer { return askBy(ctx, client, r) }, want)
	}
	tooLarge := problem(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large")
	refusedHead := expectation{"431, or not even sent", func(got answer) string {
		if got.err == nil && got.status != http.StatusRequestHeaderFieldsTooLarge {
			return got.String()
		}
		return ""
	}}
	rows := []row{
		by2("a good request, so that the others mean something", request{path: currentPath, auth: s.auth()}, status(http.StatusOK)),
		by2("//livez", request{path: "//livez"}, notFound),
		by2("/%2e%2e/livez", request{path: "/%2e%2e/livez"}, notFound),
		by2("17 KiB in one header", request{path: "/livez", headers: []string{"X", strings.Repeat("a", 17<<10)}}, tooLarge),
		// Each cookie is a field of its own in HTTP/2, which the sum counts with 32 bytes more (RFC 9113, section 10.5.1):
		// the node announces that it takes no more than this, and the client does not even send it. Frames by hand do.
		by2("a thousand cookies", request{path: "/livez", headers: []string{"Cookie", strings.Repeat("a=bcdefghijklmnop; ", 1000)}}, tooLarge),
		by2("five thousand cookies", request{path: "/livez", headers: []string{"Cookie", strings.Repeat("a=b; ", 5000)}}, refusedHead),
		by2("a megabyte of headers", request{path: "/livez", headers: []string{"X", strings.Repeat("a", 1<<20)}}, refusedHead),
		by2("a body of 129 KiB", request{
			method: "PATCH", path: currentPath, auth: s.auth(), body: `{"a":"` + strings.Repeat("x", 129<<10) + `"}`,
		}, problem(http.StatusRequestEntityTooLarge, "payload_too_large")),
	}
	rows = append(rows, a.frameRows(n)...)
	return append(rows, a.floodRows(n, s)...)
}

// readUntil reads until the other end hangs up, or the deadline of the connection.
func readUntil(connection net.Conn) (got []byte, closed bool) {
	got, err := io.ReadAll(io.LimitReader(connection, 8<<20))
	return got, !errors.Is(err, os.ErrDeadlineExceeded)
}
