package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// ServerTLS is for connections that this node accepts; protocols are those it
// serves (ALPN). The handshake fails unless the other end shows a certificate of
// a node of this cluster and asks for one of them; ask Peer who it is.
func (a *Authority) ServerTLS(protocols ...string) *tls.Config {
	c := a.base(protocols)
	// The chain is verified below, against roots that may change.
	c.ClientAuth = tls.RequireAnyClientCert
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return a.from.leaf(a.now())
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol == "" {
			return errors.New("peer asked for no protocol")
		}
		_, err := a.Peer(state)
		return err
	}
	return c
}

// ClientTLS is for a connection that this node opens to the node id. The
// handshake fails if somebody else answers there.
func (a *Authority) ClientTLS(id, protocol string) *tls.Config {
	c := a.base([]string{protocol})
	// Go's own check wants a host name, and a node's certificate has none;
	// VerifyConnection below checks the chain, and the id in the name's place.
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return a.from.leaf(a.now())
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol != protocol {
			return fmt.Errorf("node %s does not serve %s", id, protocol)
		}
		found, err := a.Peer(state)
		if err != nil {
			return err
		}
		if found != id {
			return fmt.Errorf("node %s answered where node %s was expected", found, id)
		}
		return nil
	}
	return c
}

func (a *Authority) base(protocols []string) *tls.Config {
	return &tls.Config{
		Time:       a.now,
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		// A resumed session would outlive the key that it was made under.
		SessionTicketsDisabled: true,
		// Frames are written whole; small records only cost system calls.
		DynamicRecordSizingDisabled: true,
	}
}
