package pki

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func testKey(n byte) Key {
	var k Key
	for i := range k {
		k[i] = n
	}
	return k
}

func TestDerivationsNeverChange(t *testing.T) {
	key := testKey(7)
	i, err := newIssuer(key)
	if err != nil {
		t.Fatal(err)
	}
	gossip := key.Gossip()
	got := []string{key.Name(), hex.EncodeToString(gossip[:]), hex.EncodeToString(i.signer.Public().(ed25519.PublicKey))}
	want := goldenDerivations
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("derivation %d is %s, was %s", n, got[n], want[n])
		}
	}
	again, err := newIssuer(key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(i.cert.Raw, again.cert.Raw) {
		t.Error("the authority of one key differs between two derivations")
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	key := testKey(0xab)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", key, &key, []Key{key})
	}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{} // its digits may be anything
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&out, timeless)).Info("x", "key", key, "keys", []Key{key})
	slog.New(slog.NewJSONHandler(&out, timeless)).Info("x", "key", key, "keys", []Key{key})
	if err := json.NewEncoder(&out).Encode(map[string]any{"key": key, "in": struct{ K Key }{key}}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&out, key.String(), key.GoString(), struct{ K Key }{key})
	for _, secret := range []string{"abab", "ABAB", "171", "0xab", `\xab`} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed:\n%s", secret, &out)
		}
	}
	if key.Reveal() != strings.Repeat("ab", KeyBytes) {
		t.Error("Reveal does not give the text")
	}
}

func TestNewKeyTakesWhatRandomGivesOrFails(t *testing.T) {
	key, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{9}, 40)))
	if err != nil || key != testKey(9) {
		t.Fatalf("got %v, %v", err, key == testKey(9))
	}
	if _, err := NewKey(iotest.ErrReader(errors.New("no entropy"))); err == nil {
		t.Fatal("no error without entropy")
	}
}

func TestKeyFiles(t *testing.T) {
	a, b := strings.Repeat("0a", 32), strings.Repeat("B1", 32)
	for _, c := range []struct {
		name, content, fault string
		keys                 int
	}{
		{"one key", a + "\n", "", 1},
		{"no newline at the end", a, "", 1},
		{"two keys, comments, blank lines, CRLF", "# primary\r\n\r\n  " + a + "\r\n\n# old\n" + b + " \n", "", 2},
		{"empty", "", "no key in it", 0},
		{"comments alone", "# nothing\n", "no key in it", 0},
		{"short", "# x\n" + a[:62], "line 2: a cluster key has 64 hex digits, this line has 62 characters", 0},
		{"long", a + "00", "line 1", 0},
		{"not hex", strings.Repeat("zz", 32), "line 1: a cluster key has only hex digits", 0},
		{"zeros", strings.Repeat("00", 32), "line 1: a cluster key of zeros is none", 0},
		{"twice", a + "\n" + strings.ToUpper(a), "line 2: the same key stands there twice", 0},
		{"a line without end", strings.Repeat("ab", 100_000), "line 1", 0},
		{"too many", manyKeys(17), "line 17: more than 16 keys", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cluster.key")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := ParseKeyFile(path)
			if c.fault == "" {
				if err != nil || len(keys) != c.keys || keys[0] != testKey(0x0a) {
					t.Fatalf("%d keys, %v", len(keys), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want %s and the file", err, c.fault)
			}
			for _, secret := range []string{"0a0a", "zzzz", "abab"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells the content: %v", err)
				}
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, testKey(byte(i+1)).Reveal())
	}
	return b.String()
}

func TestAKeyFileThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(path, []byte(testKey(1).Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKeyFile(path); err != nil && os.Geteuid() == 0 {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := ParseKeyFile(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := ParseKeyFile(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add([]byte(testKey(1).Reveal() + "\n# x\n" + testKey(2).Reveal()))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := ReadKeys(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var b strings.Builder
		for _, k := range keys {
			b.WriteString(k.Reveal() + "\n")
		}
		again, err := ReadKeys(io.Reader(strings.NewReader(b.String())))
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%d keys became %d: %v", len(keys), len(again), err)
		}
	})
}
