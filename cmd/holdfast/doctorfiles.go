package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/api/auth"
)

const (
	certificateSoon = 14 * 24 * time.Hour
	certificateNow  = 2 * 24 * time.Hour
)

// keysFile looks at the file of service and operator keys: it holds hashes only, but whoever may write to it can let
// himself in.
func (c *clinic) keysFile() []finding {
	path := c.cfg.KeysFile
	if path == "" {
		return nil
	}
	keys, err := auth.ListKeys(path)
	if err != nil {
		return []finding{failure("keys-file", "holdfast keys create writes it", "%v", err)}
	}
	counts := make(map[auth.Role]int)
	for _, key := range keys {
		counts[key.Role]++
	}
	var found []finding
	if stat, err := os.Stat(path); err == nil && stat.Mode().Perm()&0o022 != 0 {
		found = append(found, failure("keys-file", "chmod 600 "+shellQuote(path), "%s has mode %04o: others may add a key of their own", path, stat.Mode().Perm()))
	}
	if counts[auth.RoleOperator] == 0 {
		found = append(found, warning("keys-file", "holdfast keys create --role operator", "%s holds no operator key: the verbs of holdfast cluster need one", path))
	}
	return append(found, well("keys-file", "%s holds %d service and %d operator keys", path, counts[auth.RoleService], counts[auth.RoleOperator]))
}

// certificate looks at the certificate of the HTTP surface.
func (c *clinic) certificate() []finding {
	if c.cfg.TLSCert == "" || c.cfg.TLSKey == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cfg.TLSCert, c.cfg.TLSKey)
	if err != nil {
		return []finding{failure("tls", "the two must be PEM, and belong together", "tls-cert and tls-key: %v", err)}
	}
	var found []finding
	if stat, err := os.Stat(c.cfg.TLSKey); err == nil && stat.Mode().Perm()&0o077 != 0 {
		found = append(found, warning("tls", "chmod 600 "+shellQuote(c.cfg.TLSKey), "%s has mode %04o: others may read the private key", c.cfg.TLSKey, stat.Mode().Perm()))
	}
	found = append(found, certificateAge("tls", c.cfg.TLSCert, pair.Leaf, c.now()))
	for _, name := range c.cfg.Hosts {
		host := hostOf(name)
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			found = append(found, warning("tls", "get a certificate that names it", "%s is not good for %s, which --hosts names", c.cfg.TLSCert, host))
		}
	}
	if len(pair.Certificate) == 1 && !selfSigned(pair.Leaf) {
		found = append(found, warning("tls", "append the intermediate certificates, if there are any: some clients do not find them", "%s holds no chain", c.cfg.TLSCert))
	}
	return found
}

func selfSigned(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject)
}

// certificateAge says how long a certificate is still good.
func certificateAge(what, name string, cert *x509.Certificate, now time.Time) finding {
	names := strings.Join(append(append([]string(nil), cert.DNSNames...), textsOf(cert.IPAddresses)...), ", ")
	left := cert.NotAfter.Sub(now)
	const renew = "renew it, and send SIGHUP to the server: it reads the new one without a restart"
	switch {
	case now.Before(cert.NotBefore):
		return failure(what, "look at this machine's clock", "%s is good from %s on only", name, cert.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return failure(what, renew, "%s ended %s ago", name, days(-left))
	case left < certificateNow:
		return failure(what, renew, "%s ends in %s", name, days(left))
	case left < certificateSoon:
		return warning(what, renew, "%s ends in %s", name, days(left))
	}
	return well(what, "%s is good for %s, and for %s", name, orElse(names, "no name"), days(left))
}

func textsOf[T fmt.Stringer](values []T) []string {
	var texts []string
	for _, v := range values {
		texts = append(texts, v.String())
	}
	return texts
}

// logins fetches the key sets of the issuers: without them nobody can log in.
func (c *clinic) logins(ctx context.Context) []finding {
	if len(c.cfg.JWTIssuer) == 0 {
		return nil
	}
	cfg, err := c.cfg.logins()
	if err != nil {
		return nil // configuration has said so
	}
	logins, err := auth.OpenLogins(cfg)
	if err != nil {
		return []finding{failure("logins", "mend the file or the flag", "%v", err)}
	}
	defer logins.Close()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	var found []finding
	for _, set := range logins.KeySets(ctx) {
		if set.Err != nil {
			found = append(found, failure("logins", "let this machine reach it, or give the set as --jwt-jwks-file: until then logins of this issuer get 503",
				"the keys of %s cannot be had from %s: %v", set.Issuer, set.From, set.Err))
			continue
		}
		found = append(found, well("logins", "%s: %d %s from %s", set.Issuer, set.Keys, plural(set.Keys, "key"), set.From))
	}
	return found
}
