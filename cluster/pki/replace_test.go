package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keyFileAt(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAReplacedKeyFileHoldsTheNewKeysAndTheOldComments(t *testing.T) {
	path := keyFileAt(t, "# ours\n\n"+testKey(1).Reveal()+"\n  # of 2030")
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceKeyFile(path, []Key{testKey(2), testKey(1)}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if want := "# ours\n  # of 2030\n" + testKey(2).Reveal() + "\n" + testKey(1).Reveal() + "\n"; err != nil || string(raw) != want {
		t.Errorf("%v: the file is\n%s", err, raw)
	}
	keys, err := ParseKeyFile(path)
	if err != nil || len(keys) != 2 || keys[0] != testKey(2) {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
}

func TestALinkToAKeyFileStaysALink(t *testing.T) {
	path := keyFileAt(t, testKey(1).Reveal())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceKeyFile(link, []Key{testKey(2)}); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Lstat(link); err != nil || stat.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", stat.Mode(), err)
	}
	if keys, err := ParseKeyFile(path); err != nil || keys[0] != testKey(2) {
		t.Errorf("the file behind it was not replaced: %v", err)
	}
}

func TestAKeyFileThatCannotBeReplacedStaysAndNothingIsLeftBeside(t *testing.T) {
	for name, path := range map[string]string{
		"is not there": filepath.Join(t.TempDir(), "none"),
		"is no file":   t.TempDir(),
		"is a device":  os.DevNull,
	} {
		if err := ReplaceKeyFile(path, []Key{testKey(2)}); err == nil || !strings.Contains(err.Error(), path+" cannot be rewritten") {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := keyFileAt(t, testKey(1).Reveal())
	if err := ReplaceKeyFile(path, nil); err == nil {
		t.Error("no key was taken")
	}
	if keys, err := ParseKeyFile(path); err != nil || keys[0] != testKey(1) {
		t.Errorf("the old file did not stay: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the directory, %v", len(entries), err)
	}
}
