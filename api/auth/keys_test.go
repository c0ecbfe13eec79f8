package auth

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var created = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)

func newKey(t *testing.T, path string, role Role, name string) string {
	t.Helper()
	text, err := CreateKey(path, role, name, rand.Reader, created)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAKeyIsFoundByItsTextAndNothingElseIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	service, operator := newKey(t, path, RoleService, "web"), newKey(t, path, RoleOperator, "ops")
	keys, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Key{service: {Name: "web", Role: RoleService}, operator: {Name: "ops", Role: RoleOperator}} {
		got, ok := keys.Find(text)
		if !ok || got.Name != want.Name || got.Role != want.Role || !got.Created.Equal(created) {
			t.Errorf("found %+v, %v; want %+v", got, ok, want)
		}
	}
	flipped := []byte(service)
	flipped[20] ^= 1
	for _, text := range []string{
		"", "hfk_", service[:46], service + "A", strings.ToUpper(service), "hfo_" + service[4:], string(flipped),
		" " + service, service + "\x00", "hfs_" + service[4:],
	} {
		if key, ok := keys.Find(text); ok {
			t.Errorf("%q is taken for the key %s", text, key.Name)
		}
	}
}

func TestTheTextsOfKeysHaveTheirForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if text := newKey(t, path, RoleService, "a"); !regexp.MustCompile(`^hfk_[A-Za-z0-9_-]{43}$`).MatchString(text) {
		t.Errorf("service key %q", text)
	}
	if text := newKey(t, path, RoleOperator, "b"); !regexp.MustCompile(`^hfo_[A-Za-z0-9_-]{43}$`).MatchString(text) {
		t.Errorf("operator key %q", text)
	}
}

func TestTheFileHoldsNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	text := newKey(t, path, RoleService, "web")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(text[4:])) {
		t.Error("the keys file holds the key")
	}
	if stat, _ := os.Stat(path); stat.Mode().Perm() != 0o600 {
		t.Errorf("the keys file has mode %o", stat.Mode().Perm())
	}
}

func TestARevokedKeyIsRefusedAfterAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	gone, stays := newKey(t, path, RoleService, "gone"), newKey(t, path, RoleService, "stays")
	keys, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	before := keys.Digest()
	if err := RevokeKey(path, "gone"); err != nil {
		t.Fatal(err)
	}
	if err := RevokeKey(path, "gone"); !errors.Is(err, ErrNoSuchKey) {
		t.Errorf("revoking it twice: %v", err)
	}
	if _, ok := keys.Find(gone); !ok {
		t.Error("the key is refused before the reload")
	}
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, ok := keys.Find(gone); ok {
		t.Error("the revoked key is accepted")
	}
	if _, ok := keys.Find(stays); !ok {
		t.Error("the other key is refused")
	}
	if keys.Digest() == before {
		t.Error("the digest is the same after a change")
	}
}

func TestAFileThatIsBrokenChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	text := newKey(t, path, RoleService, "web")
	keys, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"not JSON":      "hfk",
		"newer version": `{"version":2,"keys":[]}`,
		"no version":    `{"keys":[]}`,
		"unknown field": `{"version":1,"keys":[],"more":1}`,
		"unknown role":  `{"version":1,"keys":[{"name":"a","role":"root","sha256":"` + strings.Repeat("0", 64) + `"}]}`,
		"short hash":    `{"version":1,"keys":[{"name":"a","role":"service","sha256":"00"}]}`,
		"bad name":      `{"version":1,"keys":[{"name":"a b","role":"service","sha256":"` + strings.Repeat("0", 64) + `"}]}`,
		"huge":          strings.Repeat(" ", maxKeyFileBytes+1),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := keys.Reload(); err == nil {
			t.Errorf("%s: is accepted", name)
		}
		if _, ok := keys.Find(text); !ok {
			t.Errorf("%s: the key is forgotten", name)
		}
		if _, err := OpenKeys(path); err == nil {
			t.Errorf("%s: a server starts with it", name)
		}
	}
}

func TestTheDigestIsThatOfTheSetWhateverItsOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	newKey(t, path, RoleService, "a")
	newKey(t, path, RoleOperator, "b")
	list, err := ListKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	list[0], list[1] = list[1], list[0]
	turned := filepath.Join(dir, "turned.json")
	if err := writeKeyFile(turned, list); err != nil {
		t.Fatal(err)
	}
	one, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := OpenKeys(turned)
	if err != nil {
		t.Fatal(err)
	}
	if one.Digest() != two.Digest() || len(one.Digest()) != 64 {
		t.Errorf("digests %s and %s", one.Digest(), two.Digest())
	}
}

func TestNamesAreCheckedAndUnique(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	newKey(t, path, RoleService, "web")
	for _, name := range []string{"", "web", "a b", "a\n", strings.Repeat("a", 65), "ü"} {
		if _, err := CreateKey(path, RoleService, name, rand.Reader, created); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
	if _, err := CreateKey(path, "admin", "x", rand.Reader, created); err == nil {
		t.Error("an unknown role is accepted")
	}
}

func TestAServerNeedsItsKeysFile(t *testing.T) {
	if _, err := OpenKeys(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkFindAmongTen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.json")
	var text string
	for i := range 10 {
		text, _ = CreateKey(path, RoleService, string(rune('a'+i)), rand.Reader, created)
	}
	keys, err := OpenKeys(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		keys.Find(text)
	}
}

func FuzzParseKeyFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"name":"web","role":"service","sha256":"` + strings.Repeat("0a", 32) + `","created":"2025-01-31T12:00:00Z"}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"keys":[{"name":"web","role":"service","sha256":"","created":null}],"more":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := parseKeyFile(raw)
		if err != nil {
			return
		}
		// What is read can be written, and is read again as the same.
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := writeKeyFile(path, keys); err != nil {
			t.Fatal(err)
		}
		again, err := ListKeys(path)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%q: %d keys became %d, %v", raw, len(keys), len(again), err)
		}
		for i := range keys {
			if keys[i].Name != again[i].Name || keys[i].Role != again[i].Role || keys[i].hash != again[i].hash || !keys[i].Created.Equal(again[i].Created) {
				t.Errorf("%+v became %+v", keys[i], again[i])
			}
		}
	})
}
