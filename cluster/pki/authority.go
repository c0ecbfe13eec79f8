package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Authority says who this node is and whom it believes. It is safe for
// concurrent use. New makes one from cluster keys, Open one from an operator's
// own files.
type Authority struct {
	now  func() time.Time
	from source
}

// source is where certificates come from. Both methods are called by handshakes,
// concurrently.
type source interface {
	// leaf is this node's certificate, good at now.
	leaf(now time.Time) (*tls.Certificate, error)
	// roots are who is believed at now.
	roots(now time.Time) []root
}

// Peer is the id of the node at the other end of a connection, or why it is none
// of this cluster's: its certificate is checked against what is believed now, not
// what was when the connection was made. So it also tells which connections have
// to go after a key was removed.
func (a *Authority) Peer(state tls.ConnectionState) (string, error) {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return "", errNoCertificate
	}
	cluster, id, err := nodeOf(chain[0])
	if err != nil {
		return "", err
	}
	now := a.now()
	o := x509.VerifyOptions{
		CurrentTime: now,
		// A node is client and server alike, and its leaf has to allow both.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	var refusals []error
	for _, r := range a.from.roots(now) {
		if err = r.vouches(cluster, chain, o); err == nil {
			return id, checkClientUsage(chain[0])
		}
		refusals = append(refusals, err)
	}
	return "", fmt.Errorf("node %s is not believed: %w", id, errors.Join(refusals...))
}

// checkClientUsage is the other half of the extended usage: Verify takes a list
// as alternatives.
func checkClientUsage(leaf *x509.Certificate) error {
	for _, u := range leaf.ExtKeyUsage {
		if u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return errors.New("certificate is not for clients: a node's must be for both, clientAuth and serverAuth")
}
