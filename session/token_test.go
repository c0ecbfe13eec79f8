package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func mint(t testing.TB) Token {
	t.Helper()
	random := make([]byte, 42)
	for i := range random {
		random[i] = byte(i*37 + 11)
	}
	token, err := Mint(bytes.NewReader(random), 1_700_000_000_123)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenReadsBackAsItWasMinted(t *testing.T) {
	token := mint(t)
	if len(token.Reveal()) != TokenLen {
		t.Errorf("%d bytes, want %d", len(token.Reveal()), TokenLen)
	}
	back, err := ParseToken(token.Reveal())
	if err != nil || back != token {
		t.Fatalf("ParseToken: %v", err)
	}
	if !token.Hash().Matches(back.Secret) || token.Hash().Matches(Secret{}) {
		t.Error("the hash matches wrongly")
	}
	id, err := ParseID(token.ID.String())
	if err != nil || id != token.ID {
		t.Errorf("ParseID: %v, %v", id, err)
	}
}

func TestMintPutsTheTimeFirstSoThatIDsAscend(t *testing.T) {
	random := bytes.Repeat([]byte{0xff}, 42)
	early, err := Mint(bytes.NewReader(random), 1000)
	if err != nil {
		t.Fatal(err)
	}
	late, err := Mint(bytes.NewReader(make([]byte, 42)), 1001)
	if err != nil || bytes.Compare(early.ID[:], late.ID[:]) >= 0 {
		t.Errorf("%v does not precede %v (%v)", early.ID, late.ID, err)
	}
}

func TestMintReportsAFailingRandomSource(t *testing.T) {
	for n := range 42 {
		if _, err := Mint(bytes.NewReader(make([]byte, n)), 0); err == nil {
			t.Fatalf("minted from %d random bytes", n)
		}
	}
}

func TestParseTokenRefusesEverythingElse(t *testing.T) {
	good := mint(t).Reveal()
	last := good[len(good)-1:]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	unusedBits := good[:len(good)-1] + string(alphabet[strings.Index(alphabet, last)|1])
	if unusedBits == good {
		unusedBits = good[:len(good)-1] + string(alphabet[strings.Index(alphabet, last)^3])
	}
	for name, s := range map[string]string{
		"empty":            "",
		"cut":              good[:len(good)-1],
		"long":             good + "A",
		"huge":             strings.Repeat(good, 1000),
		"upper-case id":    good[:4] + strings.ToUpper(good[4:40]) + good[40:],
		"other prefix":     "hfk_" + good[4:],
		"quoted":           `"` + good + `"`,
		"NUL":              good[:50] + "\x00" + good[51:],
		"a line end":       good[:50] + "\n" + good[51:],
		"padding":          good[:len(good)-1] + "=",
		"standard base64":  good[:50] + "+" + good[51:],
		"unused bits set":  unusedBits,
		"no dot":           strings.Replace(good, ".", "-", 1),
		"another version":  good[:18] + "4" + good[19:],
		"dashes elsewhere": strings.Replace(good, "-", "0", 1),
	} {
		if _, err := ParseToken(s); !errors.Is(err, ErrSessionInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No other text of the same length is the same token: whatever one byte is
// changed to, the result is refused or is another token.
func TestEveryByteOfATokenCounts(t *testing.T) {
	token := mint(t)
	good := []byte(token.Reveal())
	for at := range good {
		for c := range 256 {
			if byte(c) == good[at] {
				continue
			}
			changed := bytes.Clone(good)
			changed[at] = byte(c)
			if other, err := ParseToken(string(changed)); err == nil && (other == token || other.Reveal() != string(changed)) {
				t.Fatalf("%q reads as %q", changed, good)
			}
		}
	}
}

func TestNoPrintingShowsASecret(t *testing.T) {
	token := mint(t)
	held := []any{token, &token, token.Secret, Created{Token: token}, []Token{token}, map[string]Secret{"k": token.Secret}}
	var log bytes.Buffer
	for _, h := range held {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%b", "%o", "%c", "%U", "%t", "%08d", "%!"} {
			fmt.Fprintf(&log, verb+"\n", h)
		}
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "held", h)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "held", h)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		log.Write(text)
	}
	_, revealed, _ := strings.Cut(token.Reveal(), ".")
	first := token.Secret[:4]
	shapes := []string{
		revealed, fmt.Sprintf("%x", first), fmt.Sprintf("%X", first), fmt.Sprint(first[0], first[1], first[2]),
		fmt.Sprintf("%#x, %#x", first[0], first[1]), fmt.Sprintf("%b %b", first[0], first[1]), fmt.Sprintf("%o %o", first[0], first[1]),
		base64.StdEncoding.EncodeToString(token.Secret[:]),
	}
	for _, shape := range shapes {
		if strings.Contains(log.String(), shape) {
			t.Errorf("the secret is printed as %q", shape)
		}
	}
	if !strings.Contains(log.String(), token.ID.String()) {
		t.Error("not even the id is printed")
	}
}

func TestParseIDTakesOneSpellingOfVersion7(t *testing.T) {
	good := mint(t).ID.String()
	for name, s := range map[string]string{
		"empty":           "",
		"cut":             good[:35],
		"long":            good + "0",
		"upper case":      strings.ToUpper(good),
		"in braces":       "{" + good[1:35] + "}",
		"no dashes":       strings.ReplaceAll(good, "-", "") + "0000",
		"another version": good[:14] + "4" + good[15:],
		"another variant": good[:19] + "c" + good[20:],
		"not hexadecimal": "g" + good[1:],
		"a NUL":           good[:35] + "\x00",
		"the zero id":     ID{}.String(),
	} {
		if id, err := ParseID(s); !errors.Is(err, ErrInvalidRequest) || !id.IsZero() {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}

func TestAnIDCarriesTheTimeAndTheMarksOfItsVersion(t *testing.T) {
	for rand, want := range map[byte]string{0x00: "018bcfe5-687b-7000-8000-000000000000", 0xff: "018bcfe5-687b-7fff-bfff-ffffffffffff"} {
		token, err := Mint(bytes.NewReader(bytes.Repeat([]byte{rand}, 42)), 1_700_000_000_123)
		if err != nil || token.ID.String() != want {
			t.Errorf("%v, %v; want %s", token.ID, err, want)
		}
		text, err := token.ID.MarshalText()
		if err != nil || string(text) != want {
			t.Errorf("MarshalText: %s, %v", text, err)
		}
		if text, err = token.ID.AppendText([]byte("id ")); err != nil || string(text) != "id "+want {
			t.Errorf("AppendText: %s, %v", text, err)
		}
	}
}

// The standard library reads the secret of every token as we do.
func TestASecretIsBase64URLOfItsBytes(t *testing.T) {
	for i := range 256 {
		token := Token{ID: mint(t).ID, Secret: sha256.Sum256([]byte{byte(i)})}
		_, text, _ := strings.Cut(token.Reveal(), ".")
		theirs, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil || !bytes.Equal(theirs, token.Secret[:]) {
			t.Fatalf("they read %x, %v", theirs, err)
		}
		if ours, err := ParseToken(token.Reveal()); err != nil || ours != token {
			t.Fatalf("we read it otherwise: %v", err)
		}
	}
}

func TestAProofCarriesTheHashAndNoSecret(t *testing.T) {
	token := mint(t)
	if p := token.Proof(); p.ID != token.ID || !p.Hash.Equal(token.Hash()) || p.Hash != sha256.Sum256(token.Secret[:]) {
		t.Errorf("%+v", p)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(mint(f).Reveal())
	f.Add(strings.Repeat("-", TokenLen))
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err == nil && token.Reveal() != s {
			t.Fatalf("%q has a second spelling", s)
		}
	})
}

func BenchmarkParseToken(b *testing.B) {
	s := mint(b).Reveal()
	for b.Loop() {
		if _, err := ParseToken(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenHash(b *testing.B) {
	token := mint(b)
	for b.Loop() {
		token.Hash()
	}
}

func BenchmarkIDAppendText(b *testing.B) {
	id, dst := mint(b).ID, make([]byte, 0, idTextLen)
	for b.Loop() {
		dst, _ = id.AppendText(dst[:0])
	}
}
