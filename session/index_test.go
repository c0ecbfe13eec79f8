package session

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestAnIndexHasOneSpelling(t *testing.T) {
	for i, want := range map[Index]string{
		{}:                               "0000000000000000.0",
		{1, 1}:                           "0000000000000001.1",
		{0xabcdef, 42}:                   "0000000000abcdef.42",
		{math.MaxUint64, math.MaxUint64}: "ffffffffffffffff.18446744073709551615",
	} {
		got, err := ParseIndex(i.String())
		if err != nil || got != i || i.String() != want {
			t.Errorf("%v reads back as %v, %v", i, got, err)
		}
	}
	if !(Index{}).IsZero() || (Index{1, 0}).IsZero() || (Index{0, 1}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestParseIndexRefusesEverythingElse(t *testing.T) {
	for _, s := range []string{
		"", ".", "1", "0000000000000001.", "0000000000000001.-1", "0000000000000001.+1", "0000000000000001.01",
		"000000000000000A.1", "0000000000000001,1", "0000000000000001.18446744073709551616", "0000000000000001.1 ", "1.1",
		"0000000000000001.1_0", "0000000000000001.0x1", "000000000000000g.1", "0000000000000001.\x00",
		"0000000000000001." + strings.Repeat("9", 100),
	} {
		if got, err := ParseIndex(s); !errors.Is(err, ErrInvalidRequest) || !got.IsZero() {
			t.Errorf("%q reads as %v, %v", s, got, err)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add("00000000000000ff.17")
	f.Fuzz(func(t *testing.T, s string) {
		if i, err := ParseIndex(s); err == nil && i.String() != s {
			t.Fatalf("%q has a second spelling", s)
		}
	})
}

func BenchmarkParseIndex(b *testing.B) {
	s := Index{0xabcdef0123456789, 1_234_567}.String()
	for b.Loop() {
		if _, err := ParseIndex(s); err != nil {
			b.Fatal(err)
		}
	}
}
