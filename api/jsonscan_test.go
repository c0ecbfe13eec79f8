package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/session"
)

// What reads bodies must agree in every answer and in every refusal with what encoding/json makes of them: the functions
// named …ByLibrary are that, and the oracle of the fuzzing below.

var bodiesToRead = []string{
	"", " ", "{}", " { } ", "{}x", "{} {}", "{}\x00", "\x00", "[]", "null", `"a"`, "{", "{ ", "}", "{]", "{,}", "{:1}", "{1:2}", "{[", "\ufeff{}",
	`{"a":1,"b":{"c":[1,2]},"d":"\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1}`, `{"a":"\udc00"}`, `{"a":"\\ud800"}`,
	`{"a"`, `{"a" `, `{"a" 1}`, `{"a":`, `{"a": `, `{"a":}`, `{"a":1`, `{"a":1 `, `{"a":1,`, `{"a":1, `, `{"a":1,}`, `{"a":1,,`, `{"a":1]`, `{"a":1 "b":2}`,
	`{"a":1:2}`, `{"a":x}`, `{ "a" : 1 , "b" : [ ] , "c" : { } }`, "{\t\"a\"\r\n:1\v}", `{"a":"b}`, "{\"a\":\"\n\"}", "{\"a\":\"\x7f\"}", "{\"a\":\"\xff\"}",
	`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\`, `{"\n\/\b\f\r\t\"\\":1}`, `{"\q":1}`,
	`{"a":-}`, `{"a":-0}`, `{"a":01}`, `{"a":1.}`, `{"a":1.5e+10}`, `{"a":1E-2}`, `{"a":1e}`, `{"a":.5}`, `{"a":+1}`, `{"a":123456789012345678901234567890.10}`,
	`{"a":true,"b":false,"c":null}`, `{"a":tru}`, `{"a":truex}`, `{"a":nul`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":{"b"}}`, `{"a":{"b":1,}}`, `{"a":[}}`, `{"a":{]}`,
	`{"a":[1 2]}`, `{"a":{1:2}}`, `{"a":{"b" 1}}`, `{"a":{"b":1 "c":2}}`, `{"a":[[[]]]}`, `{"a":[{"b":[{}]}]}`, `{"a":{"b":1,"b":2}}`,
	`{"user_id":"u1","data":{"a":1.10,"b":12345678901234567890}}`, `{"user_id":"u\u0031"}`, `{"user_id":null,"tenant_id":"t","carry":null}`, `{"user_id":1}`,
	`{"user_id":"u","tenant_id":null,"data":{"a":1},"idle_timeout":"30m","absolute_timeout":"24h","auth":{"issuer":"i","time":"2026-03-01T10:00:00Z"},"carry":["cart"]}`,
	`{"auth":{"time":"0001-01-01T00:00:00Z"},"idle_timeout":"9223372036854775807ns"}`, `{"idle_timeout":null}`, `{"idle_timeout":"0"}`, `{"idle_timeout":""}`,
	`{"idle_timeout":"-1h"}`, `{"idle_timeout":3}`, `{"idle_timeout":"30\u006d"}`, `{"auth":null,"data":null}`, `{"auth":1}`, `{"auth":{"x":1}}`, `{"auth":{"sid":1}}`,
	`{"auth":{"sid":"s","method":"m","subject":"j","sid":"t"}}`, `{"auth":{"time":"now"}}`, `{"carry":["a",null]}`, `{"carry":"a"}`, `{"unknown":{}}`, `{"":1,"":2}`,
	`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"c":11}`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"i":11}`,
	`{"` + strings.Repeat("é", 40) + `":1}`,
}

func nestedTo(depth int) string {
	return `{"data":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
}

func TestBodiesAreReadAsTheLibraryReadsThem(t *testing.T) {
	for _, body := range append(bodiesToRead, nestedTo(31), nestedTo(33), nestedTo(maxNesting), nestedTo(maxNesting+1), strings.Repeat(`{"data":`, maxNesting+2)) {
		sameMembers(t, []byte(body))
		sameCreate(t, []byte(body))
	}
}

// TestEveryBrokenBodyIsReadAsTheLibraryReadsIt cuts each body short everywhere and puts each of the bytes that matter
// in each place.
func TestEveryBrokenBodyIsReadAsTheLibraryReadsIt(t *testing.T) {
	for _, body := range bodiesToRead {
		for i := range len(body) {
			sameMembers(t, []byte(body[:i]))
			for _, c := range []byte("\x00 \n\"\\{}[]:,-+.0eEtfnu/a\x1f\x7f\xff") {
				sameMembers(t, []byte(body[:i]+string([]byte{c})+body[i:]))
				sameMembers(t, []byte(body[:i]+string([]byte{c})+body[i+1:]))
			}
		}
	}
}

func TestABooleanIsWhatTheLibraryTakesForOne(t *testing.T) {
	for _, value := range []string{"null", "true", "false", "1", `"a"`, `"\n"`, "{}"} {
		var got, want bool
		err, wantErr := boolean("x", json.RawMessage(value), &got), booleanByLibrary("x", json.RawMessage(value), &want)
		if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s is %v %v, want %v %v", value, got, err, want, wantErr)
		}
	}
}

func TestAValueCannotGrowIntoTheBody(t *testing.T) {
	body := []byte(`{"user_id":"u","data":{"a":1},"tenant_id":"t"}`)
	request := must(parseCreate(body))
	_ = append(request.Data, "overwritten"...)
	if got := must(parseCreate(body)); got.TenantID != "t" {
		t.Errorf("the body became %s", body)
	}
}

func FuzzMembersAgainstTheLibrary(f *testing.F) {
	for _, body := range bodiesToRead {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sameMembers(t, body)
		sameCreate(t, body)
	})
}

type readMembers func(body []byte, each func(name string, value json.RawMessage) error) error

// sameMembers compares all that members calls and returns, also where the callee refuses a member: that comes before
// whatever is wrong further on.
func sameMembers(t *testing.T, body []byte) {
	t.Helper()
	for refused := range 3 {
		calls := func(read readMembers) string {
			var seen strings.Builder
			count := 0
			err := read(bytes.Clone(body), func(name string, value json.RawMessage) error {
				fmt.Fprintf(&seen, "%q %q\n", name, value)
				if count++; count == refused {
					return io.ErrNoProgress
				}
				return nil
			})
			return seen.String() + fmt.Sprint(err)
		}
		if got, want := calls(members), calls(membersByLibrary); got != want {
			t.Fatalf("%q is read as\n%s\nthe library reads\n%s", body, got, want)
		}
	}
	scan := jsonScan{text: body}
	valid := scan.value()
	scan.space()
	if valid = valid && scan.at == len(body); valid != json.Valid(body) {
		t.Fatalf("%q is valid: %v, the library says %v", body, valid, !valid)
	}
}

func sameCreate(t *testing.T, body []byte) {
	t.Helper()
	got, err := parseCreate(bytes.Clone(body))
	want, wantErr := parseCreateByLibrary(bytes.Clone(body))
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || session.CodeOf(err) != session.CodeOf(wantErr) {
		t.Fatalf("%q: got %v, want %v", body, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is read as %+v, want %+v", body, got, want)
	}
}

func membersByLibrary(body []byte, each func(name string, value json.RawMessage) error) error {
	if len(body) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return session.ErrInvalidRequest.With("the body is not valid UTF-8")
	}
	if loneSurrogateByBytes(body) {
		return session.ErrInvalidRequest.With("the body escapes half of a surrogate pair")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return session.ErrInvalidRequest.With("the body must be one JSON object")
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return libraryRefused(decoder)
		}
		if seen[name] {
			return session.ErrInvalidRequest.With("the member %q is there twice", shortened(name))
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return libraryRefused(decoder)
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return libraryRefused(decoder)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return session.ErrInvalidRequest.With("something follows the JSON object")
	}
	return nil
}

func libraryRefused(decoder *json.Decoder) error {
	return session.ErrInvalidRequest.With("the body is not valid JSON near byte %d", decoder.InputOffset())
}

func loneSurrogateByBytes(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(body[i:])
		switch {
		case !ok:
			i++ // some other escape: skip what it escapes
		case unit < 0xd800 || unit > 0xdfff:
			i += 5
		case unit > 0xdbff:
			return true
		default:
			low, ok := escapedUnit(body[i+6:])
			if !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		}
	}
	return false
}

func parseCreateByLibrary(body []byte) (session.Create, error) {
	var request session.Create
	err := membersByLibrary(body, func(name string, value json.RawMessage) error {
		switch name {
		case "user_id":
			return textByLibrary(name, value, &request.UserID)
		case "tenant_id":
			return textByLibrary(name, value, &request.TenantID)
		case "data":
			if string(value) != "null" {
				request.Data = value
			}
			return nil
		case "idle_timeout":
			return durationByLibrary(name, value, &request.IdleTimeout)
		case "absolute_timeout":
			return durationByLibrary(name, value, &request.AbsoluteTimeout)
		case "auth":
			return parseAuthByLibrary(value, &request.Auth)
		case "carry":
			if err := json.Unmarshal(value, &request.Carry); err != nil {
				return session.ErrInvalidRequest.With("the member \"carry\" must be an array of strings")
			}
			return nil
		}
		return unknownMember(name)
	})
	return request, err
}

func parseAuthByLibrary(value json.RawMessage, auth *session.Auth) error {
	if string(value) == "null" {
		return nil
	}
	return membersByLibrary(value, func(name string, value json.RawMessage) error {
		switch name {
		case "issuer":
			return textByLibrary("auth.issuer", value, &auth.Issuer)
		case "subject":
			return textByLibrary("auth.subject", value, &auth.Subject)
		case "sid":
			return textByLibrary("auth.sid", value, &auth.SID)
		case "method":
			return textByLibrary("auth.method", value, &auth.Method)
		case "time":
			var at time.Time
			if err := json.Unmarshal(value, &at); err != nil {
				return session.ErrInvalidRequest.With("the member \"auth.time\" must be a time of RFC 3339, such as 2025-01-31T12:00:00.000Z")
			}
			if !at.IsZero() {
				auth.Time = session.FromStd(at)
			}
			return nil
		}
		return unknownMember("auth." + name)
	})
}

func textByLibrary(name string, value json.RawMessage, into *string) error {
	if err := json.Unmarshal(value, into); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a string", name)
	}
	return nil
}

func booleanByLibrary(name string, value json.RawMessage, into *bool) error {
	if err := json.Unmarshal(value, into); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be true or false", name)
	}
	return nil
}

func durationByLibrary(name string, value json.RawMessage, into *time.Duration) error {
	var written string
	if err := json.Unmarshal(value, &written); err != nil {
		return session.ErrInvalidRequest.With("the member %q must be a duration such as \"24h\" or \"30m\"", name)
	}
	if string(value) == "null" {
		return nil
	}
	d, err := time.ParseDuration(written)
	if err != nil || d <= 0 {
		return session.ErrInvalidRequest.With("the member %q must be a duration greater than zero, such as \"24h\" or \"30m\"", name)
	}
	*into = d
	return nil
}
