package session

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// FuzzCursor proves what the cursor takes for granted: on whatever
// CanonicalObject passes, it comes to every member, and to the end exactly.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"":{}}`, `{"a\"":"\\","b":[[],{},"]}",-0.1e+5,null]}`, `{"\u0000":"\u001f\ud83d\ude00","z":{"y":{"x":true}}}`,
		`{"a":"\\\"","b":"{","c":[{"d":"}"}],"e":1e5}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := CanonicalObject(raw)
		if err != nil {
			return
		}
		if c := (&cursor{in: text}); !bytes.Equal(c.value(), text) || c.pos != len(text) {
			t.Fatalf("the value of %q ends at %d", text, c.pos)
		}
		keys, err := PatchKeys(text)
		if err != nil {
			t.Fatalf("PatchKeys(%q): %v", text, err)
		}
		for i, key := range keys {
			if i > 0 && keys[i-1] >= key {
				t.Fatalf("%q does not follow %q", key, keys[i-1])
			}
		}
		if all, err := Pick(text, keys); err != nil || !bytes.Equal(all, text) {
			t.Fatalf("Pick(%q, all) = %q, %v", text, all, err)
		}
		if none, err := Pick(text, nil); err != nil || string(none) != "{}" {
			t.Fatalf("Pick(%q, none) = %q, %v", text, none, err)
		}
		// Without nulls a patch is its own result; and it changes nothing twice.
		once, err := MergePatch([]byte("{}"), text)
		if err != nil {
			t.Fatalf("merge({}, %q): %v", text, err)
		}
		if !bytes.Contains(text, []byte("null")) && !bytes.Equal(once, text) {
			t.Fatalf("merge({}, %q) = %q", text, once)
		}
		if twice, err := MergePatch(once, text); err != nil || !bytes.Equal(twice, once) {
			t.Fatalf("merge(%q, %q) = %q, %v", once, text, twice, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("018bcfe5-687b-7000-8000-000000000000")
	f.Add("018bcfe5-687b-7000-8000-00000000000g")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			if !errors.Is(err, ErrInvalidRequest) || !id.IsZero() {
				t.Fatalf("%q: %v, %v", s, id, err)
			}
			return
		}
		if id.String() != s || id.IsZero() {
			t.Fatalf("%q has a second spelling", s)
		}
	})
}

// FuzzActivity holds every life to the rules of expiry: activity never shortens
// it, never takes it beyond its absolute end, and never brings it back.
func FuzzActivity(f *testing.F) {
	f.Add(int64(time.Hour), int64(24*time.Hour), int64(1000), int64(3_600_000))
	f.Add(int64(time.Second), int64(time.Second), int64(-5), int64(1<<62))
	f.Add(int64(-1), int64(1), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, idle, absolute, first, second int64) {
		b := begin(t)
		b.Idle, b.Absolute = time.Duration(idle), time.Duration(absolute)
		s, err := New(b, noon)
		if err != nil {
			if !errors.Is(err, ErrInvalidRequest) {
				t.Fatal(err)
			}
			return
		}
		if !s.LiveAt(noon) || s.ExpiresAt() > s.AbsoluteExpiresAt {
			t.Fatalf("born dead, or for too long: %+v", s)
		}
		for _, at := range []Time{Time(first), noon + Time(first), noon + Time(second), Time(second)} {
			live, ends := s.LiveAt(at), s.ExpiresAt()
			after := s.Touched(at, Client{})
			if after.ExpiresAt() < ends || after.ExpiresAt() > s.AbsoluteExpiresAt || after.LastActiveAt < s.LastActiveAt {
				t.Fatalf("touched at %d: %+v became %+v", at, s, after)
			}
			if !live && after.LiveAt(at) {
				t.Fatalf("touched at %d, %+v lives again", at, s)
			}
			s = after
		}
	})
}

// Whatever a request can bring ends in one of two refusals and changes nothing.
func TestHostileInputNeverPanics(t *testing.T) {
	s := start(t)
	for name, raw := range hostile() {
		after, changed, err := s.Patched(raw, noon)
		if err != nil && !errors.Is(err, ErrInvalidRequest) && !errors.Is(err, ErrPayloadTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if changed == (after.Version == s.Version) {
			t.Errorf("%s: changed %v, version %d", name, changed, after.Version)
		}
		for n := range raw[:min(len(raw), 300)] {
			_, _ = CanonicalObject(raw[:n])
			_, _ = PatchKeys(raw[len(raw)-n:])
		}
	}
}

func TestAPatchIsAnObject(t *testing.T) {
	for _, v := range rfc7396 {
		got, err := MergePatch([]byte(v.target), []byte(v.patch))
		if object := v.target[0] == '{' && v.patch[0] == '{'; !object {
			if !errors.Is(err, ErrInvalidRequest) {
				t.Errorf("MergePatch(%s, %s) = %s, %v", v.target, v.patch, got, err)
			}
		} else if err != nil || string(got) != v.want {
			t.Errorf("MergePatch(%s, %s) = %s, %v; want %s", v.target, v.patch, got, err, v.want)
		}
	}
	if len(rfc7396) != 15 {
		t.Errorf("the RFC has 15 vectors, not %d", len(rfc7396))
	}
}

func TestNumbersKeepTheirDigitsThroughAPatch(t *testing.T) {
	for _, n := range []string{"9007199254740993", "-12345678901234567890123", "0.1000", "1e400", "1E-07", "-0"} {
		got, err := MergePatch([]byte(`{"kept":`+n+`}`), []byte(`{"set":{"to":[`+n+`]}}`))
		if want := `{"kept":` + n + `,"set":{"to":[` + n + `]}}`; err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
