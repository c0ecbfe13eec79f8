package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"
)

func TestWhoIsRefused(t *testing.T) {
	c := &clock{start}
	a, b := newNode(t, "a", c, testKey(1)), newNode(t, "b", c, testKey(1))
	stranger := newNode(t, "a", c, testKey(2))
	// with gives a's client another certificate.
	with := func(change func(*x509.Certificate)) *tls.Config {
		config := a.ClientTLS("b", protocol)
		cert := craft(t, testKey(1), change)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		return config
	}
	uris := func(texts ...string) func(*x509.Certificate) {
		return func(x *x509.Certificate) {
			x.URIs = nil
			for _, text := range texts {
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				x.URIs = append(x.URIs, u)
			}
		}
	}
	name := testKey(1).Name()
	for _, test := range []struct {
		name   string
		client *tls.Config
		server *tls.Config
	}{
		{"another cluster's node", stranger.ClientTLS("b", protocol), b.ServerTLS(protocol)},
		{"another cluster's node, which believes anybody", blind(stranger.ClientTLS("b", protocol)), b.ServerTLS(protocol)},
		{"another cluster's server", a.ClientTLS("b", protocol), blindServer(stranger.ServerTLS(protocol))},
		{"the right cluster, another node", a.ClientTLS("c", protocol), b.ServerTLS(protocol)},
		{"no certificate", without(a.ClientTLS("b", protocol)), b.ServerTLS(protocol)},
		{"no protocol", protocols(blind(a.ClientTLS("b", protocol))), b.ServerTLS(protocol)},
		{"a protocol that is not served", a.ClientTLS("b", "other"), b.ServerTLS(protocol)},
		{"TLS 1.2", old(a.ClientTLS("b", protocol)), b.ServerTLS(protocol)},
		{"a TLS 1.2 server", a.ClientTLS("b", protocol), old(b.ServerTLS(protocol))},
		{"no URI", with(uris()), b.ServerTLS(protocol)},
		{"two URIs", with(uris(NodeURI(name, "a"), NodeURI(name, "c"))), b.ServerTLS(protocol)},
		{"our signature under another cluster's name", with(uris(NodeURI(testKey(2).Name(), "a"))), b.ServerTLS(protocol)},
		{"a URI with a query", with(uris(NodeURI(name, "a") + "?x")), b.ServerTLS(protocol)},
		{"a URI with a fragment", with(uris(NodeURI(name, "a") + "#x")), b.ServerTLS(protocol)},
		{"a URI with a port", with(uris("holdfast://" + name + ":1/node/a")), b.ServerTLS(protocol)},
		{"a URI with a user", with(uris("holdfast://u@" + name + "/node/a")), b.ServerTLS(protocol)},
		{"a URI that escapes", with(uris(NodeURI(name, "%61"))), b.ServerTLS(protocol)},
		{"a deeper path", with(uris(NodeURI(name, "a/b"))), b.ServerTLS(protocol)},
		{"an empty id", with(uris(NodeURI(name, ""))), b.ServerTLS(protocol)},
		{"another scheme", with(uris("https://" + name + "/node/a")), b.ServerTLS(protocol)},
		{"expired", with(func(x *x509.Certificate) { x.NotAfter = start.Add(-time.Second) }), b.ServerTLS(protocol)},
		{"not yet", with(func(x *x509.Certificate) { x.NotBefore = start.Add(time.Second) }), b.ServerTLS(protocol)},
		{"for servers alone", with(func(x *x509.Certificate) { x.ExtKeyUsage = x.ExtKeyUsage[:1] }), b.ServerTLS(protocol)},
		{"for clients alone", with(func(x *x509.Certificate) { x.ExtKeyUsage = x.ExtKeyUsage[1:] }), b.ServerTLS(protocol)},
		{"signed by a leaf", viaLeaf(t, a), b.ServerTLS(protocol)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if ce, se := shake(test.client, test.server); ce == nil || se == nil {
				t.Errorf("client: %v, server: %v; both should know that it failed", ce, se)
			}
		})
	}
	if ce, se := shake(with(func(*x509.Certificate) {}), b.ServerTLS(protocol)); ce != nil || se != nil {
		t.Errorf("the crafted certificate itself is not good: %v, %v", ce, se)
	}
}

func blind(c *tls.Config) *tls.Config     { c.VerifyConnection = nil; return c }
func without(c *tls.Config) *tls.Config   { c.GetClientCertificate = nil; return c }
func protocols(c *tls.Config) *tls.Config { c.NextProtos = nil; return c }
func old(c *tls.Config) *tls.Config {
	c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return c
}
func blindServer(c *tls.Config) *tls.Config { c.VerifyConnection = nil; return c }

func template(now time.Time, cluster string) *x509.Certificate {
	u, _ := url.Parse(NodeURI(cluster, "a"))
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "x"}, URIs: []*url.URL{u},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func craft(t *testing.T, key Key, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	i, err := newIssuer(key)
	if err != nil {
		t.Fatal(err)
	}
	x := template(start, i.name)
	change(x)
	return sign(t, x, i.cert, i.signer)
}

func sign(t *testing.T, x, parent *x509.Certificate, by ed25519.PrivateKey) *tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, x, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: private, Leaf: leaf}
}

// viaLeaf is a client whose certificate is signed by a node's leaf.
func viaLeaf(t *testing.T, a *Keyed) *tls.Config {
	t.Helper()
	leaf, err := a.source.leaf(start)
	if err != nil {
		t.Fatal(err)
	}
	cert := sign(t, template(start, testKey(1).Name()), leaf.Leaf, leaf.PrivateKey.(ed25519.PrivateKey))
	cert.Certificate = append(cert.Certificate, leaf.Certificate...)
	config := a.ClientTLS("b", protocol)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	return config
}
