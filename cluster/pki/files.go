package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// rereadInterval bounds how often handshakes look whether the files changed.
const rereadInterval = 10 * time.Second

// Files are an operator's own certificates, PEM, in place of derived ones.
type Files struct {
	// CA holds the certificates of the authorities that are believed.
	CA string
	// Cert holds this node's certificate and the intermediates above it. Its one
	// URI is holdfast://<cluster>/node/<id>; it is good for clients and servers.
	Cert string
	// Key holds the private key of Cert; only its owner may read it.
	Key string
}

// Open makes the authority of the node id from an operator's own certificates.
// clusters are the names of the valid cluster keys: certificates are of one of
// those. The files are read again when they change; a change that makes no sense
// is logged and the last good one stays. now is the wall clock, nil for time.Now.
func Open(id string, clusters []string, files Files, now func() time.Time, logger *slog.Logger) (*Authority, error) {
	if err := CheckNodeID(id); err != nil {
		return nil, err
	}
	if len(clusters) == 0 {
		return nil, errors.New("no cluster name")
	}
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	brought := &brought{id: id, clusters: slices.Clone(clusters), files: files, log: logger}
	stamp, err := files.stamp()
	if err == nil {
		brought.current, err = brought.read(now())
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of node %s: %w", id, err)
	}
	brought.stamp, brought.looked = stamp, now()
	return &Authority{now: now, from: brought}, nil
}

// brought is the source of a node with certificates of the operator's own.
type brought struct {
	id       string
	clusters []string
	files    Files
	log      *slog.Logger

	mu      sync.Mutex
	current material
	stamp   [3]fileStamp
	looked  time.Time
}

// material is one reading of the three files.
type material struct {
	cert *tls.Certificate
	root root
}

// fileStamp tells a changed file from the one that was read.
type fileStamp struct {
	modified int64
	size     int64
}

func (f Files) stamp() (stamps [3]fileStamp, err error) {
	for i, path := range []string{f.CA, f.Cert, f.Key} {
		stat, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = fileStamp{modified: stat.ModTime().UnixNano(), size: stat.Size()}
	}
	return stamps, nil
}

func (b *brought) leaf(now time.Time) (*tls.Certificate, error) { return b.fresh(now).cert, nil }
func (b *brought) roots(now time.Time) []root                   { return []root{b.fresh(now).root} }

// fresh is the last good reading, after a look at the files every now and then.
func (b *brought) fresh(now time.Time) material {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since := now.Sub(b.looked); since >= 0 && since < rereadInterval {
		return b.current
	}
	b.looked = now
	stamp, err := b.files.stamp()
	if err == nil && stamp == b.stamp {
		return b.current
	}
	var next material
	if err == nil {
		next, err = b.read(now)
	}
	if err != nil {
		// Half of the files may be new: the next look may find all of them.
		b.log.Warn("certificates changed and are not good, the old ones stay", "error", err)
		return b.current
	}
	b.current, b.stamp = next, stamp
	b.log.Info("certificates read again", "not_after", next.cert.Leaf.NotAfter)
	return b.current
}

// read takes the files in, and checks that others will believe what is in them.
func (b *brought) read(now time.Time) (material, error) {
	stat, err := os.Stat(b.files.Key)
	if err != nil {
		return material{}, err
	}
	if err := checkMode(stat); err != nil {
		return material{}, fmt.Errorf("%s %w: run chmod 600 %s", b.files.Key, err, b.files.Key)
	}
	pem, err := os.ReadFile(b.files.CA)
	if err != nil {
		return material{}, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return material{}, fmt.Errorf("%s holds no certificate", b.files.CA)
	}
	cert, err := tls.LoadX509KeyPair(b.files.Cert, b.files.Key)
	if err != nil {
		if _, isPath := errors.AsType[*fs.PathError](err); isPath {
			return material{}, err
		}
		return material{}, fmt.Errorf("%s and %s: %w", b.files.Cert, b.files.Key, err)
	}
	m := material{cert: &cert, root: root{clusters: b.clusters, pool: pool}}
	return m, b.check(m, now)
}

// check asks of this node's own certificate what others will ask.
func (b *brought) check(m material, now time.Time) error {
	chain := make([]*x509.Certificate, 0, len(m.cert.Certificate))
	for _, raw := range m.cert.Certificate {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", b.files.Cert, err)
		}
		chain = append(chain, c)
	}
	own := &Authority{now: func() time.Time { return now }, from: fixed{m}}
	id, err := own.Peer(tls.ConnectionState{PeerCertificates: chain})
	if err != nil {
		return fmt.Errorf("%s: %w", b.files.Cert, err)
	}
	if id != b.id {
		return fmt.Errorf("%s is of node %s", b.files.Cert, id)
	}
	m.cert.Leaf = chain[0]
	return nil
}

// fixed is a source that never changes.
type fixed struct{ material }

func (f fixed) leaf(time.Time) (*tls.Certificate, error) { return f.cert, nil }
func (f fixed) roots(time.Time) []root                   { return []root{f.root} }
