package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const (
	scheme   = "holdfast"
	nodePath = "/node/"
)

var (
	nodeID      = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	clusterName = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// CheckNodeID says whether id can stand in a certificate: 1 to 64 letters, digits,
// dots, dashes and underscores.
func CheckNodeID(id string) error {
	if !nodeID.MatchString(id) {
		return fmt.Errorf("node id %q: want 1 to 64 letters, digits, dots, dashes or underscores", id)
	}
	return nil
}

// NodeURI is the URI that a node's certificate holds:
// holdfast://<cluster>/node/<id>.
func NodeURI(cluster, id string) string {
	return scheme + "://" + cluster + nodePath + id
}

// parseNodeURI takes a node's URI apart. It accepts one spelling only: a URI that
// is spelled in another way is another URI.
func parseNodeURI(uri *url.URL) (cluster, id string, err error) {
	rest, isOurs := strings.CutPrefix(uri.String(), scheme+"://")
	cluster, id, isNode := strings.Cut(rest, nodePath)
	if !isOurs || !isNode || !clusterName.MatchString(cluster) || !nodeID.MatchString(id) {
		return "", "", fmt.Errorf("certificate is for %q, which is no node", uri)
	}
	return cluster, id, nil
}

// nodeOf is whose certificate this is, by what stands in it; whether it may be
// believed is another question.
func nodeOf(cert *x509.Certificate) (cluster, id string, err error) {
	if len(cert.URIs) != 1 {
		return "", "", fmt.Errorf("certificate has %d URIs, want exactly one: a node's", len(cert.URIs))
	}
	return parseNodeURI(cert.URIs[0])
}

var errNoCertificate = errors.New("peer showed no certificate")

// root is who is believed about the nodes of some clusters.
type root struct {
	clusters []string
	pool     *x509.CertPool
}

// vouches says whether this root signed the node's chain.
func (r root) vouches(cluster string, chain []*x509.Certificate, o x509.VerifyOptions) error {
	if !slices.Contains(r.clusters, cluster) {
		return fmt.Errorf("certificate is of cluster %s", cluster)
	}
	o.Roots = r.pool
	o.Intermediates = x509.NewCertPool()
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	return err
}
