package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ReplaceKeyFile writes keys in place of those in the key file at path, the first
// being the one that signs. Comments stay, ahead of the keys; so do mode and
// owner. A reader finds the old file or the new one, whole, also after a power
// cut at any moment; an error leaves the old one.
//
// A link is followed. The file's directory must be writable: a secret that is
// mounted read-only is for whoever mounted it to change.
func ReplaceKeyFile(path string, keys []Key) error {
	if err := replaceKeyFile(path, keys); err != nil {
		return fmt.Errorf("cluster key file %s cannot be rewritten: %w", path, err)
	}
	return nil
}

func replaceKeyFile(path string, keys []Key) error {
	if len(keys) == 0 {
		return errors.New("no key is to be in it")
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	stat, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !stat.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	before, err := os.ReadFile(real)
	if err != nil {
		return err
	}
	dir := filepath.Dir(real)
	next, err := os.CreateTemp(dir, "."+filepath.Base(real)+".new-*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(next, stat, keyFile(before, keys)), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), real)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return syncDir(dir)
}

// fill writes the file that is to take the old one's place.
func fill(next *os.File, old fs.FileInfo, content []byte) error {
	if err := next.Chmod(old.Mode().Perm()); err != nil {
		return err
	}
	if err := keepOwner(next, old); err != nil {
		return err
	}
	if _, err := next.Write(content); err != nil {
		return err
	}
	return next.Sync()
}

// keyFile is a key file's content with other keys in it.
func keyFile(before []byte, keys []Key) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(before)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	for _, key := range keys {
		b.WriteString(key.Reveal() + "\n")
	}
	return b.Bytes()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
