package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// A forgery is a JWT that must not log anybody in.
type forgery struct{ input, text string }

// forger collects forgeries, and the first failure to make one.
type forger struct {
	*issuer
	all []forgery
	err error
}

func (f *forger) add(input, text string) { f.all = append(f.all, forgery{input, text}) }

// signed signs a header and claims with a key that need not be the one that the header names.
func (f *forger) signed(input string, header, claims map[string]any, alg string, key any) string {
	text, err := f.issuer.signed(header, claims, alg, key)
	f.err = errors.Join(f.err, err)
	if input != "" {
		f.add(input, text)
	}
	return text
}

func (i *issuer) forgeries() ([]forgery, error) {
	f := &forger{issuer: i}
	good := i.claims("forged")
	good["email"] = "forged@example.com"
	f.algorithms(good)
	f.signatures(good)
	f.headers(good)
	f.forms(good)
	f.claimsOf(good)
	return f.all, f.err
}

// algorithms are tokens that choose how they are verified.
func (f *forger) algorithms(good map[string]any) {
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", "null"} {
		unsigned := part(map[string]any{"alg": none, "kid": "rs", "typ": "JWT"}) + "." + part(good)
		f.add(fmt.Sprintf("alg %q, no signature", none), unsigned+".")
		f.add(fmt.Sprintf("alg %q, some signature", none), unsigned+"."+b64([]byte("some signature of nobody")))
	}
	f.add("no alg", part(map[string]any{"kid": "rs"})+"."+part(good)+".AAAA")
	f.add("alg as a list", part(map[string]any{"alg": []string{"none", "RS256"}, "kid": "rs"})+"."+part(good)+".AAAA")
	for name, secret := range f.publicKeyTexts() {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			f.signed(alg+" with the public key as secret, "+name, map[string]any{"alg": alg, "kid": "rs"}, good, alg, secret)
		}
	}
	f.signed("HS256 with an empty secret", map[string]any{"alg": "HS256", "kid": "rs"}, good, "HS256", []byte{})
	for _, swap := range []struct{ kid, alg string }{
		{"rs", "PS256"},
		{"ps", "RS256"},
		{"rs", "RS384"},
		{"rs", "RS512"},
		{"ps", "PS512"},
		{"es", "RS256"},
		{"rs", "ES256"},
		{"ed", "ES256"},
		{"es", "EdDSA"},
	} {
		key := f.keys()[swap.alg]
		if key == nil {
			key = f.rsa
		}
		f.signed(fmt.Sprintf("%s under the key %q", swap.alg, swap.kid), map[string]any{"alg": swap.alg, "kid": swap.kid}, good, swap.alg, key)
	}
	f.signed("the header says RS256, the signature is PS256", map[string]any{"alg": "RS256", "kid": "rs"}, good, "PS256", f.rsa)
	f.signed("the header says rs256 in lower case", map[string]any{"alg": "rs256", "kid": "rs"}, good, "RS256", f.rsa)
}

// publicKeyTexts are the spellings of a public key that verifiers have taken for an HMAC secret.
func (f *forger) publicKeyTexts() map[string][]byte {
	der, err := x509.MarshalPKIXPublicKey(&f.rsa.PublicKey)
	f.err = errors.Join(f.err, err)
	jwk, err := json.Marshal(f.jwks()[0])
	f.err = errors.Join(f.err, err)
	return map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": jwk, "modulus": f.rsa.N.Bytes(),
	}
}

// signatures are tokens whose signature is none, or another's.
func (f *forger) signatures(good map[string]any) {
	header := map[string]any{"alg": "ES256", "kid": "es", "typ": "JWT"}
	text := f.signed("", header, good, "ES256", f.ecdsa)
	head, signature := text[:strings.LastIndexByte(text, '.')], text[strings.LastIndexByte(text, '.')+1:]
	f.add("an empty signature", head+".")
	f.add("a stripped signature, two parts", head)
	f.add("a cut signature", head+"."+signature[:len(signature)/2])
	f.add("one bit of the signature changed", head+"."+turned(signature, 20, 1))
	f.add("an unused bit of the signature changed", head+"."+turned(signature, len(signature)-1, 1))
	f.add("padding behind the signature", text+"==")
	f.add("a line feed in the signature, as a blank", head+"."+signature[:10]+" "+signature[10:])
	f.add("r and s of zero", head+"."+b64(make([]byte, 64)))
	f.add("r and s of the curve's order", head+"."+b64(append(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()...)))
	f.add("another token's signature", part(header)+"."+part(with(good, map[string]any{"sub": "admin"}))+"."+signature)
	f.add("claims with one digit changed", strings.Replace(text, part(good), turned(part(good), 30, 1), 1))
	r, s, err := ecdsa.Sign(rand.Reader, f.ecdsa, make([]byte, 32))
	f.err = errors.Join(f.err, err)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	f.err = errors.Join(f.err, err)
	f.add("a signature in DER", head+"."+b64(der))
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	f.err = errors.Join(f.err, err)
	f.signed("signed with the attacker's own key", map[string]any{"alg": "RS256", "kid": "rs"}, good, "RS256", own)
	f.attackersKey(good, own)
}

// attackersKey are tokens that bring, or point to, the key that they are to be verified with.
func (f *forger) attackersKey(good map[string]any, own *rsa.PrivateKey) {
	embedded := map[string]any{"kty": "RSA", "kid": "rs", "alg": "RS256", "n": b64(own.N.Bytes()), "e": "AQAB"}
	trap := f.trap.url()
	for _, member := range []struct {
		name  string
		value any
	}{
		{"jwk", embedded},
		{"jku", trap + "/jku"},
		{"x5u", trap + "/x5u"},
		{"x5c", []string{"MIIB"}},
	} {
		for _, kid := range []string{"rs", "attackers"} {
			f.signed(fmt.Sprintf("%s of the attacker, kid %q", member.name, kid),
				map[string]any{"alg": "RS256", "kid": kid, member.name: member.value}, good, "RS256", own)
		}
	}
	for _, kid := range []string{
		trap + "/kid", "../../../../dev/null", "/dev/null", "' OR '1'='1", "rs\x00", "rs ", "RS", "rs|touch /tmp/x", "", strings.Repeat("k", 4000), "\u2028",
	} {
		f.signed(fmt.Sprintf("hostile kid %.24q", kid), map[string]any{"alg": "RS256", "kid": kid}, good, "RS256", own)
		f.signed(fmt.Sprintf("hostile kid %.24q, HS256 with an empty secret", kid), map[string]any{"alg": "HS256", "kid": kid}, good, "HS256", []byte{})
	}
	for _, kid := range []any{1, true, nil, []string{"rs"}, map[string]any{"rs": 1}} {
		f.signed(fmt.Sprintf("kid %v, of type %T", kid, kid), map[string]any{"alg": "RS256", "kid": kid}, good, "RS256", f.rsa)
	}
	f.signed("no kid, while the set has several keys", map[string]any{"alg": "RS256"}, good, "RS256", f.rsa)
	f.signed("an issuer that is the attacker's address", map[string]any{"alg": "RS256", "kid": "rs"}, with(good, map[string]any{"iss": trap + "/"}), "RS256", own)
}

// headers are well-signed tokens for another purpose, or with what must be understood.
func (f *forger) headers(good map[string]any) {
	for input, header := range map[string]map[string]any{
		"crit of an unknown extension": {"crit": []string{"exp-check"}, "exp-check": false},
		"crit of b64 (RFC 7797)":       {"crit": []string{"b64"}, "b64": false},
		"an empty crit":                {"crit": []string{}},
		"crit as text":                 {"crit": "alg"},
		"typ logout+jwt":               {"typ": "logout+jwt"},
		"typ dpop+jwt":                 {"typ": "dpop+jwt"},
		"typ JWS":                      {"typ": "JOSE"},
		"typ as a number":              {"typ": 1},
	} {
		header["alg"], header["kid"] = "ES256", "es"
		f.signed(input, header, good, "ES256", f.ecdsa)
	}
}

// forms are texts that are no signed JWT.
func (f *forger) forms(good map[string]any) {
	valid := f.signed("", map[string]any{"alg": "ES256", "kid": "es"}, good, "ES256", f.ecdsa)
	parts := strings.Split(valid, ".")
	for _, form := range []struct{ input, text string }{
		{"no text", ""},
		{"two dots", ".."},
		{"ten thousand dots", strings.Repeat(".", 10_000)},
		{"five parts, as an encrypted token", valid + ".AAAA.AAAA"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`},
		{"a header of null", b64([]byte("null")) + "." + parts[1] + "." + parts[2]},
		{"a header of a list", b64([]byte("[]")) + "." + parts[1] + "." + parts[2]},
		{"claims of a list", parts[0] + "." + b64([]byte("[]")) + "." + parts[2]},
		{"a header in standard base64", strings.TrimRight(parts[0], "=") + "+/." + parts[1] + "." + parts[2]},
		{"a leading dot", "." + valid},
		{"two tokens with a comma", valid + "," + valid},
		{"12 KiB of claims", parts[0] + "." + strings.Repeat("A", 12<<10) + "." + parts[2]},
		{"deep JSON in the header", b64([]byte(strings.Repeat(`{"a":`, 900))) + "." + parts[1] + "." + parts[2]},
		{"an unknown prefix of a key", "hfx_" + strings.Repeat("A", 43)},
	} {
		f.add(form.input, form.text)
	}
}

// claimsOf are well-signed tokens that say something wrong.
func (f *forger) claimsOf(good map[string]any) {
	now := time.Now().Unix()
	for _, c := range []struct {
		name   string
		values []any
	}{
		{"iss", []any{nil, "", "https://evil.example/", strings.TrimSuffix(f.name(), "/"), strings.ToUpper(f.name()), 1, []string{f.name()}, map[string]any{}}},
		{"aud", []any{nil, "", "other", audience + "/", strings.ToUpper(audience), []string{}, []string{"other"}, 1, true, map[string]any{audience: 1}, []any{[]string{audience}}}},
		{"exp", []any{nil, 0, -1, now - 3600, now - 31, "tomorrow", fmt.Sprint(now + 3600), true, []any{now + 3600}, map[string]any{}, 1e18, json.RawMessage("1e400"), now + 25*3600}},
		{"nbf", []any{now + 3600, now + 120, "tomorrow", true, []any{}, -1, json.RawMessage("1e400")}},
		{"iat", []any{nil, now + 3600, now + 120, "now", true, -1, now - 90_000, json.RawMessage("1e400")}},
		{"sub", []any{nil, "", 1, true, []string{"a"}, map[string]any{}, "a\u0000b", "a\nb", strings.Repeat("u", 600)}},
		{"events", []any{map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}},
	} {
		for _, value := range c.values {
			shown := fmt.Sprintf("%v", value)
			if raw, ok := value.(json.RawMessage); ok {
				shown = string(raw)
			}
			input := fmt.Sprintf("claim %s %.40q, of type %T", c.name, shown, value)
			if value == nil {
				input = "claim " + c.name + " missing"
			}
			f.signed(input, map[string]any{"alg": "ES256", "kid": "es"}, with(good, map[string]any{c.name: value}), "ES256", f.ecdsa)
		}
	}
	claims, err := json.Marshal(good)
	f.err = errors.Join(f.err, err)
	broken := strings.Replace(string(claims), `"sub":"forged`, `"sub":"forged`+"\xff", 1)
	text, err := f.signedText(part(map[string]any{"alg": "ES256", "kid": "es"})+"."+b64([]byte(broken)), "ES256", f.ecdsa)
	f.err = errors.Join(f.err, err)
	f.add("claim sub that is not UTF-8", text)
}
