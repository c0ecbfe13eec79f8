package session

import (
	"errors"
	"testing"
)

func TestEventTypesReadBack(t *testing.T) {
	for e := EventCreated; e <= EventSuspicious; e++ {
		if got, err := ParseEventType(e.String()); err != nil || got != e {
			t.Errorf("%v: %v, %v", e, got, err)
		}
	}
	for _, s := range []string{"", "exploded", "Created", "unknown"} {
		if got, err := ParseEventType(s); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%q reads as %v, %v", s, got, err)
		}
	}
	if EventType(0).String() != "unknown" || EventType(99).String() != "unknown" {
		t.Error("a type that does not exist has a name")
	}
}

// They are stored: these numbers never change.
func TestEventTypesKeepTheirNumbers(t *testing.T) {
	for i, name := range []string{"created", "updated", "refreshed", "rotated", "revoked", "expired", "evicted", "suspicious"} {
		if got := EventType(i + 1).String(); got != name {
			t.Errorf("%d is %s, and was %s", i+1, got, name)
		}
	}
}

func TestAnEventIDHasOneSpelling(t *testing.T) {
	for id, want := range map[EventID]string{{}: "0-0", {7, 2}: "7-2", {1<<64 - 1, 1<<32 - 1}: "18446744073709551615-4294967295"} {
		got, err := ParseEventID(want)
		if err != nil || got != id || id.String() != want {
			t.Errorf("%v reads back as %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "-", "7", "7-", "-2", "07-2", "7-02", "7-2-1", "+7-2", "7--2", "7-4294967296", "7-2 ", "7_0-2"} {
		if got, err := ParseEventID(s); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%q reads as %v, %v", s, got, err)
		}
	}
}

func TestEventIDsComeInTheOrderOfTheLog(t *testing.T) {
	ordered := []EventID{{0, 0}, {1, 0}, {1, 1}, {1, 10}, {2, 0}, {10, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v against %v is %d", a, b, got)
			}
		}
	}
}

func FuzzParseEventID(f *testing.F) {
	f.Add("17-3")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseEventID(s); err == nil && id.String() != s {
			t.Fatalf("%q has a second spelling", s)
		}
	})
}
