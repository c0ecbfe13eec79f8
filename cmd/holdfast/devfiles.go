package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/api/auth"
)

// devFiles are the secrets of a development cluster: made once, kept in one directory that only its owner may enter.
type devFiles struct {
	dir string
}

func (d devFiles) clusterKey() string        { return filepath.Join(d.dir, "cluster.key") }
func (d devFiles) keys() string              { return filepath.Join(d.dir, "keys.json") }
func (d devFiles) key(role auth.Role) string { return filepath.Join(d.dir, string(role)+".key") }
func (d devFiles) loginKey() string          { return filepath.Join(d.dir, "login.key") }
func (d devFiles) jwks() string              { return filepath.Join(d.dir, "login.jwks.json") }

// nodes counts the servers that have data here.
func (d devFiles) nodes() int {
	there, _ := filepath.Glob(filepath.Join(d.dir, "n*", "table.db")) // the pattern is well-formed: no error
	return len(there)
}

// openDevFiles makes what is missing in dir.
func openDevFiles(dir string) (devFiles, error) {
	d := devFiles{dir: dir}
	if err := privateDir(dir); err != nil {
		return d, err
	}
	if missing(d.clusterKey()) {
		if err := createClusterKey(d.clusterKey()); err != nil {
			return d, err
		}
	}
	for _, role := range []auth.Role{auth.RoleService, auth.RoleOperator} {
		if err := d.ensureKey(role); err != nil {
			return d, err
		}
	}
	return d, d.ensureLogin()
}

// privateDir makes a directory that only its owner may enter, or makes one such.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	stat, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !stat.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if stat.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("%s may be entered by others than its owner, and that cannot be changed: %w", dir, err)
	}
	return nil
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// ensureKey makes the key of a role, in the keys file and as text beside it. A text that was lost makes a new key.
func (d devFiles) ensureKey(role auth.Role) error {
	name := "dev-" + string(role)
	known, err := auth.ListKeys(d.keys())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listed := slices.ContainsFunc(known, func(k auth.Key) bool { return k.Name == name })
	if listed && !missing(d.key(role)) {
		return nil
	}
	if listed {
		if err := auth.RevokeKey(d.keys(), name); err != nil {
			return err
		}
	}
	if err := os.Remove(d.key(role)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := auth.CreateKey(d.keys(), role, name, rand.Reader, time.Now())
	if err != nil {
		return err
	}
	return createSecretFile(d.key(role), text+"\n")
}

func (d devFiles) readKey(role auth.Role) (string, error) {
	raw, err := os.ReadFile(d.key(role))
	return strings.TrimSpace(string(raw)), err
}

// ensureLogin makes the key of the login issuer, and the public key set that the servers are given.
func (d devFiles) ensureLogin() error {
	if missing(d.loginKey()) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		raw, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
		if err := createSecretFile(d.loginKey(), string(text)); err != nil {
			return err
		}
	}
	private, err := d.readLogin()
	if err != nil {
		return err
	}
	public := private.Public().(ed25519.PublicKey)
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": devKid,
		"x": base64.RawURLEncoding.EncodeToString(public),
	}}})
	if err != nil {
		return err
	}
	// Written each time: it follows from the private key.
	return os.WriteFile(d.jwks(), append(set, '\n'), 0o600)
}

func (d devFiles) readLogin() (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(d.loginKey())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", d.loginKey())
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.loginKey(), err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", d.loginKey())
	}
	return private, nil
}
