package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bring writes an operator's files for the node a; the authority is any.
func bring(t *testing.T, dir string, change func(*x509.Certificate)) Files {
	t.Helper()
	i, err := newIssuer(testKey(9))
	if err != nil {
		t.Fatal(err)
	}
	x := template(start, testKey(1).Name())
	change(x)
	cert := sign(t, x, i.cert, i.signer)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		f.CA:   {Type: "CERTIFICATE", Bytes: i.cert.Raw},
		f.Cert: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		f.Key:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func asIs(*x509.Certificate) {}

func TestAnOperatorsOwnCertificatesFollowTheSameRule(t *testing.T) {
	c := &clock{start}
	clusters := []string{testKey(1).Name()}
	a, err := Open("a", clusters, bring(t, t.TempDir(), asIs), c.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open("a", clusters, bring(t, t.TempDir(), asIs), c.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ce, se := shake(a.ClientTLS("a", protocol), b.ServerTLS(protocol)); ce != nil || se != nil {
		t.Fatalf("client: %v, server: %v", ce, se)
	}
	if ce, se := shake(a.ClientTLS("b", protocol), b.ServerTLS(protocol)); ce == nil || se == nil {
		t.Error("another node's id was taken")
	}
	derived := newNode(t, "a", c, testKey(1))
	if ce, se := shake(derived.ClientTLS("a", protocol), b.ServerTLS(protocol)); ce == nil || se == nil {
		t.Error("a derived certificate was believed beside an own authority")
	}
}

func TestFaultsInAnOperatorsFilesAreFoundAtOnce(t *testing.T) {
	c := &clock{start}
	good := []string{testKey(1).Name()}
	open := func(id string, clusters []string, f Files) error {
		_, err := Open(id, clusters, f, c.now, nil)
		return err
	}
	spoil := func(spoil func(Files)) Files {
		f := bring(t, t.TempDir(), asIs)
		spoil(f)
		return f
	}
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, fault string
		err         error
	}{
		{"another node's", "is of node a", open("b", good, bring(t, t.TempDir(), asIs))},
		{"another cluster's", "not believed", open("a", []string{testKey(2).Name()}, bring(t, t.TempDir(), asIs))},
		{"no cluster", "no cluster name", open("a", nil, bring(t, t.TempDir(), asIs))},
		{"bad id", "node id", open("a b", good, bring(t, t.TempDir(), asIs))},
		{"no URI", "has 0 URIs", open("a", good, bring(t, t.TempDir(), func(x *x509.Certificate) { x.URIs = nil }))},
		{"expired", "expired", open("a", good, bring(t, t.TempDir(), func(x *x509.Certificate) { x.NotAfter = start.Add(-1) }))},
		{"for servers alone", "clientAuth", open("a", good, bring(t, t.TempDir(), func(x *x509.Certificate) { x.ExtKeyUsage = x.ExtKeyUsage[:1] }))},
		{"missing file", "no such file", open("a", good, spoil(func(f Files) { os.Remove(f.Cert) }))},
		{"no authority in it", "holds no certificate", open("a", good, spoil(func(f Files) { write(f.CA, "x") }))},
		{"garbage", "cert.pem", open("a", good, spoil(func(f Files) { write(f.Cert, "x") }))},
		{"readable by all", "chmod 600", open("a", good, spoil(func(f Files) { os.Chmod(f.Key, 0o644) }))},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.fault) {
			t.Errorf("%s: got %v, want %q", test.name, test.err, test.fault)
		}
	}
}

func TestChangedFilesAreReadAgainAndBadOnesAreNot(t *testing.T) {
	var log bytes.Buffer
	c := &clock{start}
	dir := t.TempDir()
	clusters := []string{testKey(1).Name()}
	files := bring(t, dir, asIs)
	a, err := Open("a", clusters, files, c.now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	expiry := func() time.Time {
		leaf, err := a.from.leaf(c.now())
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Leaf.NotAfter
	}
	longer := start.Add(2 * time.Hour)
	bring(t, dir, func(x *x509.Certificate) { x.NotAfter = longer; x.SerialNumber.SetInt64(1 << 40) })
	if expiry().Equal(longer) {
		t.Error("looked again at once")
	}
	c.at = c.at.Add(rereadInterval)
	if !expiry().Equal(longer) {
		t.Errorf("not read again: %s", &log)
	}
	if err := os.WriteFile(files.Cert, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(rereadInterval)
	if !expiry().Equal(longer) {
		t.Error("the last good one did not stay")
	}
	if !strings.Contains(log.String(), "not good") {
		t.Errorf("nothing was logged: %s", &log)
	}
}
