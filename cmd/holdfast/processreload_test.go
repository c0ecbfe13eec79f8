package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeCertificate makes a certificate for loopback that signs itself, and returns what a client has to believe.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: raw}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		text := pem.EncodeToMemory(block)
		if file == certFile {
			pool.AppendCertsFromPEM(text)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

func TestANewCertificateIsServedAfterSIGHUPAndABadOneIsNot(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writeCertificate(t, certFile, keyFile, 1)
	c := newProcesses(t, 1, "--tls-cert", certFile, "--tls-key", keyFile)
	n := c.nodes[0]
	addr := strings.TrimPrefix(n.url, "http://")
	n.start()
	c.eventually("the node is ready", func() bool { return n.said(`"msg":"ready"`) })

	// live makes a client that believes one certificate and keeps its connection.
	live := func(pool *x509.CertPool) func() (serial int64, err error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
		t.Cleanup(client.CloseIdleConnections)
		return func() (int64, error) {
			answer, err := client.Get("https://" + addr + "/livez")
			if err != nil {
				return 0, err
			}
			defer answer.Body.Close()
			_, err = io.Copy(io.Discard, answer.Body) // or the connection is not kept
			return answer.TLS.PeerCertificates[0].SerialNumber.Int64(), err
		}
	}
	old := live(first)
	if serial, err := old(); err != nil || serial != 1 {
		t.Fatal(serial, err)
	}
	second := writeCertificate(t, certFile, keyFile, 2)
	if _, err := live(second)(); err == nil {
		t.Error("the new certificate is served without a SIGHUP")
	}
	n.signal(syscall.SIGHUP)
	c.eventually("the new certificate is served", func() bool {
		serial, err := live(second)()
		return err == nil && serial == 2
	})
	if serial, err := old(); err != nil || serial != 1 {
		t.Errorf("a connection from before did not go on: %d, %v", serial, err)
	}
	if _, err := live(first)(); err == nil {
		t.Error("the old certificate is served to new connections")
	}

	// The key of another certificate.
	writeCertificate(t, filepath.Join(dir, "other.pem"), keyFile, 3)
	n.signal(syscall.SIGHUP)
	c.eventually("the node says what is wrong", func() bool {
		return n.logged(`"level":"ERROR"`, "what was known before stays", "tls-cert and tls-key", "private key does not match")
	})
	if serial, err := live(second)(); err != nil || serial != 2 {
		t.Errorf("after a bad pair: %d, %v", serial, err)
	}
}

func TestANewLoginKeySetCountsAfterSIGHUPAndABadOneDoesNot(t *testing.T) {
	before, err := openDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	after, err := openDevFiles(t.TempDir()) // another issuer's key under the same id
	if err != nil {
		t.Fatal(err)
	}
	c := startProcesses(t, 1, "--jwt-issuer", devIssuer, "--jwt-audience", devAudience, "--jwt-jwks-file", before.jwks())
	n := c.nodes[0]
	create := func(by devFiles) int {
		t.Helper()
		login, err := by.login("u1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return n.ask("POST", "/api/sessions/create/", "Bearer "+login, "{}").status
	}
	if got := []int{create(before), create(after)}; got[0] != http.StatusCreated || got[1] != http.StatusUnauthorized {
		t.Fatalf("before: %v", got)
	}
	set, err := os.ReadFile(after.jwks())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(before.jwks(), content, 0o600); err != nil {
			t.Fatal(err)
		}
		n.signal(syscall.SIGHUP)
	}
	replace(set)
	c.eventually("the new key set counts", func() bool { return create(after) == http.StatusCreated })
	if got := create(before); got != http.StatusUnauthorized {
		t.Errorf("the key that is gone: %d", got)
	}
	replace([]byte(`{"keys":[`))
	c.eventually("the node says what is wrong", func() bool { return n.logged(`"level":"ERROR"`, "what was known before stays", "jwks") })
	if got := create(after); got != http.StatusCreated {
		t.Errorf("after a bad key set: %d", got)
	}
}

func TestClusterKeysThatDifferAreSeenInTheStatus(t *testing.T) {
	c := newProcesses(t, 3)
	c.ownKeyFiles()
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	if clusterKeysDiffer(c.nodes[1].status()) {
		t.Error("all nodes have the same key, and one says otherwise")
	}
	n := c.nodes[0]
	key := c.readClusterKeys(n.keyFile())[0]
	fresh := clusterKey(t)
	c.giveKeys(n, key, fresh)
	n.signal(syscall.SIGHUP)
	c.eventually("the difference is seen", func() bool { return clusterKeysDiffer(c.nodes[1].status()) })
	// A file that would cut the node off changes nothing.
	c.giveKeys(n, fresh)
	n.signal(syscall.SIGHUP)
	c.eventually("the node says why", func() bool {
		return n.logged(`"level":"ERROR"`, "the cluster keys from before stay", "lacks key "+key.Name())
	})
	c.giveKeys(n, key, fresh)
	rotate := c.command("cluster-key", "rotate", "--resume", "--wait", patience.String())
	rotate.succeeds()
	if status := c.nodes[1].status(); clusterKeysDiffer(status) || status.Members[0].ClusterKeys[0] != fresh.Name() {
		t.Errorf("after the rotation: %+v", status.Members)
	}
}
