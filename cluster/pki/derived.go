package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"
)

const (
	// leafBackdate lets nodes whose clocks are behind believe a fresh leaf.
	leafBackdate = 24 * time.Hour
	leafLifetime = 30 * 24 * time.Hour
	// leafRenewal: a leaf with less than this left is replaced.
	leafRenewal = 10 * 24 * time.Hour
)

// derived is the source of a node that has cluster keys: it is its own
// certificate authority.
type derived struct {
	id string

	mu sync.Mutex
	// issuers are the authorities of the valid keys; the first one signs.
	issuers []issuer
	current *tls.Certificate
}

// issuer is the certificate authority of one cluster key.
type issuer struct {
	name   string
	cert   *x509.Certificate
	signer ed25519.PrivateKey
	root   root
}

// Keyed is an Authority whose certificates are derived from cluster keys.
type Keyed struct {
	*Authority
	source *derived
}

// New makes the authority of the node id from the cluster's keys, of which there
// is at least one. The first signs, all are believed. now is the wall clock, nil
// for time.Now.
func New(id string, keys []Key, now func() time.Time) (*Keyed, error) {
	if err := CheckNodeID(id); err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	source := &derived{id: id}
	k := &Keyed{Authority: &Authority{now: now, from: source}, source: source}
	if err := k.SetKeys(keys); err != nil {
		return nil, err
	}
	// A node that cannot sign is better told now than at its first handshake.
	if _, err := source.leaf(now()); err != nil {
		return nil, err
	}
	return k, nil
}

// SetKeys replaces the valid keys at once: handshakes that begin later know only
// these. Connections of a removed key are for the caller to end; Peer tells which.
func (k *Keyed) SetKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("no cluster key")
	}
	issuers := make([]issuer, 0, len(keys))
	for _, key := range keys {
		i, err := newIssuer(key)
		if err != nil {
			return err
		}
		issuers = append(issuers, i)
	}
	d := k.source
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.issuers) == 0 || d.issuers[0].name != issuers[0].name {
		d.current = nil
	}
	d.issuers = issuers
	return nil
}

// newIssuer makes a key's authority: the same on every node, always. Its
// certificate never travels, so it needs no end.
func newIssuer(key Key) (issuer, error) {
	seed := key.derive(purposeAuthority)
	signer := ed25519.NewKeyFromSeed(seed[:])
	name := key.Name()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "holdfast cluster " + name},
		NotBefore:             time.Unix(0, 0).UTC(),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return issuer{}, fmt.Errorf("make the certificate authority of cluster %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return issuer{}, fmt.Errorf("make the certificate authority of cluster %s: %w", name, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return issuer{name: name, cert: cert, signer: signer, root: root{clusters: []string{name}, pool: pool}}, nil
}

func (d *derived) roots(time.Time) []root {
	d.mu.Lock()
	defer d.mu.Unlock()
	roots := make([]root, len(d.issuers))
	for i := range d.issuers {
		roots[i] = d.issuers[i].root
	}
	return roots
}

// leaf renews in place: also if the clock was set back to before the leaf began.
func (d *derived) leaf(now time.Time) (*tls.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.current; c != nil && !now.Before(c.Leaf.NotBefore) && c.Leaf.NotAfter.Sub(now) >= leafRenewal {
		return c, nil
	}
	fresh, err := d.issuers[0].issue(d.id, now)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of node %s: %w", d.id, err)
	}
	d.current = fresh
	return fresh, nil
}

// issue signs a leaf with a key of its own, which never leaves this process.
func (i issuer) issue(id string, now time.Time) (*tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(NodeURI(i.name, id))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "holdfast node " + id},
		URIs:         []*url.URL{uri},
		NotBefore:    now.Add(-leafBackdate),
		NotAfter:     now.Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, i.cert, public, i.signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: private, Leaf: leaf}, nil
}

// NotAfter is when the certificate ends that a handshake would show now. Like a
// handshake, it renews one that is about to.
func (k *Keyed) NotAfter() (time.Time, error) {
	leaf, err := k.source.leaf(k.now())
	if err != nil {
		return time.Time{}, err
	}
	return leaf.Leaf.NotAfter, nil
}

// KeyNames are the names of the valid keys, that of the one that signs first. A
// name tells nothing about its key.
func (k *Keyed) KeyNames() []string {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	names := make([]string, len(k.source.issuers))
	for i := range k.source.issuers {
		names[i] = k.source.issuers[i].name
	}
	return names
}
