package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// big returns an object that is n bytes long.
func big(n int) []byte { return []byte(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }

func TestCanonicalObjectHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		" {\t\"b\" : 1 ,\r\n \"a\":[ true , null ] } ":        `{"a":[true,null],"b":1}`,
		`{"n":12345678901234567890123,"f":1.50e+10,"z":-0}`:   `{"f":1.50e+10,"n":12345678901234567890123,"z":-0}`,
		`{"\u0061":"\u00e9\/\ud83d\ude00\n"}`:                 `{"a":"é/😀\n"}`,
		`{"A":{"\"":"\\"}}`:                                   `{"A":{"\"":"\\"}}`,
		`{"\"\\\b\f\n\r\t\u0001\u001F\u007f":1}`:              `{"\"\\\b\f\n\r\t\u0001\u001f` + "\x7f" + `":1}`,
		`{"z":[[],{ } , [ ]],"":0}`:                           `{"":0,"z":[[],{},[]]}`,
		`{"b":{"d":1,"c":{"f":1,"e":2}},"a":[{"y":1,"x":2}]}`: `{"a":[{"x":2,"y":1}],"b":{"c":{"e":2,"f":1},"d":1}}`,
		`{"\u00e9":1,"z":2,"\ud83d\ude00":3,"\uffff":4}`:      "{\"z\":2,\"é\":1,\"\uffff\":4,\"😀\":3}",
		`{"\u0001":1,"\t":2,"":3," ":4}`:                      `{"":3,"\u0001":1,"\t":2," ":4}`,
		`{"<&>":"\u2028"}`:                                    "{\"<&>\":\"\u2028\"}",
	} {
		got, err := CanonicalObject([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("CanonicalObject(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestCanonicalObjectRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                ``,
		"an array":               `[]`,
		"null":                   `null`,
		"a duplicate key":        `{"a":1,"a":2}`,
		"an escaped duplicate":   `{"a":1,"\u0061":2}`,
		"a nested duplicate":     `{"x":[{"a":1,"a":2}]}`,
		"invalid UTF-8":          "{\"a\":\"\xff\"}",
		"half a surrogate pair":  `{"a":"\ud83d"}`,
		"a swapped pair":         `{"a":"\ude00\ud83d"}`,
		"a pair cut short":       `{"a":"\ud83d\u0041"}`,
		"something behind":       `{} {}`,
		"a zero byte behind":     "{}\x00",
		"a leading zero":         `{"a":01}`,
		"a bare point":           `{"a":1.}`,
		"a plus":                 `{"a":+1}`,
		"a bare exponent":        `{"a":1e}`,
		"NaN":                    `{"a":NaN}`,
		"a trailing comma":       `{"a":1,}`,
		"a raw control":          "{\"a\":\"\n\"}",
		"an unknown escape":      `{"a":"\x41"}`,
		"an escape cut short":    `{"a":"\`,
		"a short \\u":            `{"a":"\u12"}`,
		"a signed \\u":           `{"a":"\u+123"}`,
		"a half, then nothing":   `{"a":"\ud83d\`,
		"an overlong form":       "{\"a\":\"\xc0\x80\"}",
		"a surrogate in UTF-8":   "{\"a\":\"\xed\xa0\x80\"}",
		"a byte order mark":      "\ufeff{}",
		"a lone minus":           `{"a":-}`,
		"a missing colon":        `{"a" 1}`,
		"a missing value":        `{"a":}`,
		"a missing comma":        `{"a":1 "b":2}`,
		"a wrong bracket":        `{"a":[1}}`,
		"a capital literal":      `{"a":True}`,
		"a half literal":         `{"a":tru}`,
		"white space of Unicode": "{\u00a0}",
		"an unclosed string":     `{"a":"`,
		"an unclosed object":     `{"a":1`,
		"a bare key":             `{a:1}`,
		"a comment":              `{/**/}`,
		"depth 65":               strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
		"depth 10,000":           `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}",
	} {
		if got, err := CanonicalObject([]byte(in)); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: got %s, %v; want invalid_request", name, got, err)
		}
	}
	deepest := strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)
	if _, err := CanonicalObject([]byte(deepest)); err != nil {
		t.Errorf("depth 64 is refused: %v", err)
	}
}

func TestDataOverItsLimitIsTooLarge(t *testing.T) {
	if _, err := CanonicalObject(big(MaxDataBytes)); err != nil {
		t.Errorf("data at its limit is refused: %v", err)
	}
	if _, err := CanonicalObject(big(MaxDataBytes + 1)); !errors.Is(err, ErrPayloadTooLarge) {
		t.Errorf("data over its limit: %v", err)
	}
}

// A result that shared memory with its input would change under a session when
// a request's buffer is used again.
func TestACanonicalObjectSharesNothingWithItsInput(t *testing.T) {
	raw := []byte(`{"a":"text","b":[1,2]}`)
	out, err := CanonicalObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := string(out)
	clear(raw)
	if string(out) != want {
		t.Errorf("%q became %q", want, out)
	}
}

func TestReadingLeavesTheInputAlone(t *testing.T) {
	raw := []byte(`{"b":"x\u0041\n","a\u0062":{"d":1,"c":"\ud83d\ude00"}}`)
	before := string(raw)
	if _, err := CanonicalObject(raw); err != nil || string(raw) != before {
		t.Errorf("%q became %q, %v", before, raw, err)
	}
}

func FuzzCanonicalObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\ud83d\ude00"}],"n":1e999}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Add([]byte(` {"b":{"d":1,"c":"\n"},"a":[true , null,{}]} `))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := CanonicalObject(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) || !json.Valid(out) {
			t.Fatalf("%q was accepted as %q", raw, out)
		}
		if len(out) > len(raw) {
			t.Fatalf("%q grew to %q", raw, out)
		}
		var from, to any
		if json.Unmarshal(raw, &from) == nil && json.Unmarshal(out, &to) == nil && fmt.Sprint(from) != fmt.Sprint(to) {
			t.Fatalf("%q does not mean %q", raw, out)
		}
		again, err := CanonicalObject(out)
		if err != nil || string(again) != string(out) {
			t.Fatalf("%q is not canonical: %q, %v", out, again, err)
		}
	})
}

// hostile documents fill the whole 64 KiB with what costs most.
func hostile() map[string][]byte {
	repeat := func(before, unit, after string) []byte {
		return []byte(before + strings.Repeat(unit, (MaxDataBytes-len(before)-len(after))/len(unit)) + after)
	}
	descending := []byte(`{`)
	for i := 9999; len(descending) < MaxDataBytes-10; i-- {
		descending = fmt.Appendf(descending, `"%04d":0,`, i)
	}
	descending[len(descending)-1] = '}'
	deep, end := strings.Repeat(`{"b":0,"a":`, 62), strings.Repeat("}", 62)
	return map[string][]byte{
		"numbers":      repeat(`{"a":[0`, ",0", `]}`),
		"spaces":       repeat(`{"a":[0`, ", 0", `]}`),
		"brackets":     repeat(`{"a":[[]`, ",[]", `]}`),
		"escapes":      repeat(`{"a":"`, `\u0041`, `"}`),
		"controls":     repeat(`{"a":"`, `\u0001`, `"}`),
		"descending":   descending,
		"deep":         repeat(deep+`"`, "x", `"`+end),
		"deep numbers": repeat(deep+`[0`, ",0", `]`+end),
		"opening":      repeat("", "[", ""),
	}
}

func TestHostileDocumentsCostNoMoreThanTheirLength(t *testing.T) {
	for name, raw := range hostile() {
		if allocs := testing.AllocsPerRun(1, func() { _, _ = CanonicalObject(raw) }); allocs > 40 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkCanonicalObject(b *testing.B) {
	docs := hostile()
	docs["usual"] = []byte(`{"cart":[1,2,3],"name":"Ada","onboarding_completed":false,"subscription_plan":"free"}`)
	for name, raw := range docs {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				_, _ = CanonicalObject(raw)
			}
		})
	}
}

func BenchmarkHostileMergePatch(b *testing.B) {
	for name, raw := range hostile() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = MergePatch(raw, raw)
			}
		})
	}
}
