package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/api/auth"
)

// credentials are what comes from files that an operator may change while the server runs: keys, the login issuers' key
// sets, the certificate.
type credentials struct {
	keys        *auth.Keys   // nil without --keys-file
	logins      *auth.Logins // nil without --jwt-issuer
	certificate *certificate // nil without --tls-cert
	log         *slog.Logger
}

func openCredentials(cfg Config, log *slog.Logger) (*credentials, error) {
	c := &credentials{log: log}
	var err error
	if cfg.KeysFile != "" {
		if c.keys, err = auth.OpenKeys(cfg.KeysFile); err != nil {
			return nil, err
		}
	}
	if cfg.TLSCert != "" {
		if c.certificate, err = openCertificate(cfg.TLSCert, cfg.TLSKey); err != nil {
			return nil, err
		}
	}
	if len(cfg.JWTIssuer) > 0 {
		logins, err := cfg.logins()
		if err != nil {
			return nil, err
		}
		logins.Logger = log.With("component", "logins")
		if c.logins, err = auth.OpenLogins(logins); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *credentials) close() error {
	if c.logins == nil {
		return nil
	}
	return c.logins.Close()
}

func (c *credentials) digest() string {
	if c.keys == nil {
		return ""
	}
	return c.keys.Digest()
}

func (c *credentials) tls() *tls.Config {
	if c.certificate == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.certificate.get}
}

// reload reads every file again. A file that is not good changes nothing, and does not keep the others from being read.
func (c *credentials) reload() {
	var faults []error
	if c.keys != nil {
		faults = append(faults, c.keys.Reload())
	}
	if c.logins != nil {
		faults = append(faults, c.logins.Reload())
	}
	if c.certificate != nil {
		faults = append(faults, c.certificate.reload())
	}
	if err := errors.Join(faults...); err != nil {
		c.log.Error("reload: what was known before stays", "error", oneLine(faults).Error())
		return
	}
	c.log.Info("keys, login key sets and certificate read again", "keys_digest", c.digest())
}

// certificate is a TLS certificate and its key, from files.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func openCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls-cert and tls-key: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
