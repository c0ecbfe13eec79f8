package pki

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxKeys bounds a key file. A rotation needs two.
const maxKeys = 16

// ParseKeyFile reads a key file: one key of 64 hex digits a line, blank lines and
// lines that begin with # ignored. The first key is the one that this node signs
// and encrypts with; all of them are believed.
//
// A file that its group or others may read is refused: the key is all that stands
// between them and the cluster. Only a file of root's may be read by its group, by
// a process that is not root's. Errors name file and line, never the content.
func ParseKeyFile(path string) ([]Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cluster key file: %w", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("cluster key file: %w", err)
	}
	if stat.IsDir() {
		return nil, fmt.Errorf("cluster key file %s is a directory", path)
	}
	if err := checkMode(stat); err != nil {
		return nil, fmt.Errorf("cluster key file %s %w: run chmod 600 %s", path, err, path)
	}
	keys, err := ReadKeys(file)
	if err != nil {
		return nil, fmt.Errorf("cluster key file %s: %w", path, err)
	}
	return keys, nil
}

// ReadKeys reads keys as ParseKeyFile does. Errors name the line.
func ReadKeys(r io.Reader) ([]Key, error) {
	var keys []Key
	lines := bufio.NewScanner(r)
	number := 0
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		key, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, seen := range keys {
			if seen == key {
				return nil, fmt.Errorf("line %d: the same key stands there twice", number)
			}
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("line %d: more than %d keys", number, maxKeys)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, fmt.Errorf("line %d: want %d hex digits, found a line without end", number+1, 2*KeyBytes)
		}
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	return keys, nil
}

func parseKey(text string) (Key, error) {
	if len(text) != 2*KeyBytes {
		return Key{}, fmt.Errorf("a cluster key has %d hex digits, this line has %d characters", 2*KeyBytes, len(text))
	}
	var key Key
	if _, err := hex.Decode(key[:], []byte(text)); err != nil {
		// hex's own error quotes the byte.
		return Key{}, errors.New("a cluster key has only hex digits")
	}
	if key == (Key{}) {
		return Key{}, errors.New("a cluster key of zeros is none")
	}
	return key, nil
}
