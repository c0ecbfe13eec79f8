package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	keyFileVersion  = 1
	maxKeyFileBytes = 1 << 20
)

// ErrNoSuchKey is returned by RevokeKey for a name that the file does not hold.
var ErrNoSuchKey = errors.New("no key of that name")

type keyFile struct {
	Version int        `json:"version"`
	Keys    []keyEntry `json:"keys"`
}

type keyEntry struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	SHA256  string    `json:"sha256"`
	Created time.Time `json:"created"`
}

// CreateKey adds a new key to the file at path, which it makes if there is none (mode 0600), and returns the key's text:
// this once, as the file keeps only its hash. The name must be new to the file. Random is crypto/rand.Reader outside
// tests. The file is replaced in one step, so that a server that reads it meanwhile sees the old or the new one.
func CreateKey(path string, role Role, name string, random io.Reader, now time.Time) (string, error) {
	if err := checkKeyName(name); err != nil {
		return "", err
	}
	keys, err := ListKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name }) {
		return "", fmt.Errorf("keys file %s: a key named %q is already there", path, name)
	}
	if len(keys) >= MaxKeys {
		return "", fmt.Errorf("keys file %s: holds %d keys, the most that are allowed", path, MaxKeys)
	}
	text, err := mintKey(random, role)
	if err != nil {
		return "", err
	}
	hash, _ := hashKeyText(text)
	keys = append(keys, Key{Name: name, Role: role, Created: now.UTC().Truncate(time.Second), hash: hash})
	if err := writeKeyFile(path, keys); err != nil {
		return "", err
	}
	return text, nil
}

// ListKeys reads the file at path, in the file's order.
func ListKeys(path string) ([]Key, error) {
	raw, err := readBounded(path, maxKeyFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read keys file: %w", err)
	}
	keys, err := parseKeyFile(raw)
	if err != nil {
		return nil, fmt.Errorf("keys file %s: %w", path, err)
	}
	return keys, nil
}

// RevokeKey takes the key of that name out of the file at path. Servers notice at their next reload (SIGHUP).
func RevokeKey(path, name string) error {
	keys, err := ListKeys(path)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.Name == name })
	if len(kept) == len(keys) {
		return fmt.Errorf("keys file %s: %q: %w", path, name, ErrNoSuchKey)
	}
	return writeKeyFile(path, kept)
}

func parseKeyFile(raw []byte) ([]Key, error) {
	// The version is looked at first: a newer file may hold fields that only look like a mistake.
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, err
	}
	if head.Version != keyFileVersion {
		return nil, fmt.Errorf("format version %d is not known, this binary reads version %d", head.Version, keyFileVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var file keyFile
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	if len(file.Keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", len(file.Keys), MaxKeys)
	}
	keys := make([]Key, 0, len(file.Keys))
	names := make(map[string]bool, len(file.Keys))
	for i, entry := range file.Keys {
		key, err := entry.key()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if names[key.Name] {
			return nil, fmt.Errorf("key %d: the name %q is there twice", i+1, key.Name)
		}
		names[key.Name] = true
		keys = append(keys, key)
	}
	return keys, nil
}

func (e keyEntry) key() (Key, error) {
	if err := checkKeyName(e.Name); err != nil {
		return Key{}, err
	}
	if _, err := e.Role.prefix(); err != nil {
		return Key{}, err
	}
	key := Key{Name: e.Name, Role: e.Role, Created: e.Created.UTC()}
	raw, err := hex.DecodeString(e.SHA256)
	if err != nil || len(raw) != sha256.Size {
		return Key{}, errors.New("sha256 must be 64 hex digits")
	}
	copy(key.hash[:], raw)
	return key, nil
}

func writeKeyFile(path string, keys []Key) error {
	file := keyFile{Version: keyFileVersion, Keys: make([]keyEntry, 0, len(keys))}
	for _, k := range keys {
		file.Keys = append(file.Keys, keyEntry{Name: k.Name, Role: k.Role, SHA256: hex.EncodeToString(k.hash[:]), Created: k.Created})
	}
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("encode keys file: %w", err)
	}
	if err := replaceFile(path, append(raw, '\n')); err != nil {
		return fmt.Errorf("write keys file: %w", err)
	}
	return nil
}

// replaceFile puts a file in place in one step that survives a crash: a half-written keys file would lock everyone out.
func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails once it is renamed, which is what is wanted
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return raw, nil
}
