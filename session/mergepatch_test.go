package session

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// The vectors of RFC 7396, appendix A, in its order.
var rfc7396 = []struct{ target, patch, want string }{
	{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
	{`{"a":"b"}`, `{"a":null}`, `{}`},
	{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
	{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
	{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
	{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
	{`["a","b"]`, `["c","d"]`, `["c","d"]`},
	{`{"a":"b"}`, `["c"]`, `["c"]`},
	{`{"a":"foo"}`, `null`, `null`},
	{`{"a":"foo"}`, `"bar"`, `"bar"`},
	{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
	{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
	{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
}

func TestMergeFollowsEveryVectorOfTheRFC(t *testing.T) {
	for _, v := range rfc7396 {
		target, err := canonical([]byte(v.target))
		if err != nil {
			t.Fatal(err)
		}
		patch, err := canonical([]byte(v.patch))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(merge(nil, &cursor{in: target}, &cursor{in: patch})); got != v.want {
			t.Errorf("merge(%s, %s) = %s, want %s", v.target, v.patch, got, v.want)
		}
	}
}

func TestAPatchThatGrowsDataOverItsLimitIsRefused(t *testing.T) {
	half := MaxDataBytes/2 + 10
	_, err := MergePatch(big(half), []byte(`{"b":"`+strings.Repeat("x", half)+`"}`))
	if !errors.Is(err, ErrPayloadTooLarge) {
		t.Errorf("a patch that grows data over its limit: %v", err)
	}
}

func TestPatchKeysNamesWhatIsSetAndWhatIsRemoved(t *testing.T) {
	keys, err := PatchKeys([]byte(`{"roles":null,"\u0061":{"deep":1}}`))
	if err != nil || strings.Join(keys, ",") != "a,roles" {
		t.Errorf("PatchKeys = %v, %v", keys, err)
	}
}

func TestPickTakesNamedKeysOnly(t *testing.T) {
	got, err := Pick([]byte(`{"a":1,"cart":[2],"z":3}`), []string{"cart", "absent"})
	if err != nil || string(got) != `{"cart":[2]}` {
		t.Errorf("Pick = %s, %v", got, err)
	}
}

// FuzzMergePatch holds merge against the RFC's pseudocode over decoded maps.
func FuzzMergePatch(f *testing.F) {
	for _, v := range rfc7396 {
		f.Add([]byte(v.target), []byte(v.patch))
	}
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		got, err := MergePatch(target, patch)
		if err != nil {
			return
		}
		want, err := json.Marshal(naiveMerge(decode(t, target), decode(t, patch)))
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := CanonicalObject(want)
		if errors.Is(err, ErrPayloadTooLarge) {
			return
		}
		if err != nil || string(canonical) != string(got) {
			t.Fatalf("merge(%s, %s) = %s, want %s (%v)", target, patch, got, canonical, err)
		}
	})
}

func decode(t *testing.T, raw []byte) any {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("accepted %q: %v", raw, err)
	}
	return v
}

func naiveMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = naiveMerge(t[k], v)
		}
	}
	return t
}

func BenchmarkMergePatch(b *testing.B) {
	target := []byte(`{"cart":[1,2,3],"name":"Ada","onboarding_completed":false,"subscription_plan":"free","t":"` + strings.Repeat("x", 300) + `"}`)
	patch := []byte(`{"onboarding_completed":true,"subscription_plan":"professional"}`)
	for b.Loop() {
		if _, err := MergePatch(target, patch); err != nil {
			b.Fatal(err)
		}
	}
}
