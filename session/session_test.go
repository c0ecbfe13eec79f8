package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const noon = Time(1_700_000_000_000)

// begin returns what a test's session starts with.
func begin(t testing.TB) Start {
	t.Helper()
	token := mint(t)
	return Start{
		ID: token.ID, Hash: token.Hash(), UserID: "ada", Data: []byte(`{"plan":"free"}`),
		Idle: time.Hour, Absolute: 24 * time.Hour, Client: Client{IP: "192.0.2.1", UserAgent: "curl/8"},
	}
}

func start(t testing.TB) Session {
	t.Helper()
	s, err := New(begin(t), noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestANewSessionIsLiveUntilItsIdleExpiry(t *testing.T) {
	s := start(t)
	idle := noon.Add(time.Hour)
	if s.Version != 1 || s.CreatedAt != noon || s.SecretSetAt != noon || s.Device.FirstIP != "192.0.2.1" {
		t.Errorf("a new session: %+v", s)
	}
	if !s.LiveAt(noon) || !s.LiveAt(idle-1) || s.LiveAt(idle) || s.ExpiresAt() != idle {
		t.Error("an idle session does not end exactly at its idle expiry")
	}
}

func TestANewSessionWithoutDataHoldsAnEmptyObject(t *testing.T) {
	b := begin(t)
	b.Data = nil
	if s, err := New(b, noon); err != nil || string(s.Data) != "{}" {
		t.Errorf("%s, %v", s.Data, err)
	}
}

func TestNewRefusesWhatBreaksALimit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Start)
		want   error
	}{
		"no id":                 {func(s *Start) { s.ID = ID{} }, ErrInvalidRequest},
		"a long user":           {func(s *Start) { s.UserID = strings.Repeat("x", MaxUserIDBytes+1) }, ErrInvalidRequest},
		"a tenant with a NUL":   {func(s *Start) { s.TenantID = "a\x00" }, ErrInvalidRequest},
		"a long label":          {func(s *Start) { s.Label = strings.Repeat("x", MaxLabelBytes+1) }, ErrInvalidRequest},
		"a long issuer":         {func(s *Start) { s.Auth.Issuer = strings.Repeat("x", MaxIssuerBytes+1) }, ErrInvalidRequest},
		"data that is no JSON":  {func(s *Start) { s.Data = []byte("{") }, ErrInvalidRequest},
		"too much data":         {func(s *Start) { s.Data = make([]byte, MaxDataBytes+1) }, ErrPayloadTooLarge},
		"no idle timeout":       {func(s *Start) { s.Idle = 0 }, ErrInvalidRequest},
		"idle beyond absolute":  {func(s *Start) { s.Idle = s.Absolute + 1 }, ErrInvalidRequest},
		"idle beyond the bound": {func(s *Start) { s.Idle, s.Absolute = MaxIdle+1, MaxAbsolute }, ErrInvalidRequest},
		"a life without end":    {func(s *Start) { s.Absolute = MaxAbsolute + 1 }, ErrInvalidRequest},
	} {
		b := begin(t)
		c.change(&b)
		if s, err := New(b, noon); !errors.Is(err, c.want) || s.Version != 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestActivityIsNoChangeOfData(t *testing.T) {
	s := start(t).Touched(noon.Add(30*time.Minute), Client{IP: "198.51.100.2"})
	if s.ExpiresAt() != noon.Add(90*time.Minute) || s.Version != 1 || s.UpdatedAt != noon {
		t.Errorf("touched: %+v", s)
	}
	if s.Device.IP != "198.51.100.2" || s.Device.FirstIP != "192.0.2.1" || s.Device.UserAgent != "curl/8" {
		t.Errorf("touched from elsewhere: %+v", s.Device)
	}
	if again := s.Touched(noon, Client{IP: "203.0.113.9"}); again.LastActiveAt != s.LastActiveAt || again.Device.IP != s.Device.IP {
		t.Error("a late touch moved activity back")
	}
}

func TestNoActivityBringsAnEndedSessionBack(t *testing.T) {
	s := start(t)
	for _, at := range []Time{s.ExpiresAt(), s.ExpiresAt() + 1, s.AbsoluteExpiresAt, s.AbsoluteExpiresAt + 1} {
		touched, refreshed := s.Touched(at, Client{}), s.Refreshed(at)
		if touched.LiveAt(at) || refreshed.LiveAt(at) {
			t.Errorf("live again at %v", at)
		}
	}
}

func TestAPatchThatFailsLeavesTheSessionAsItWas(t *testing.T) {
	s := start(t)
	after, changed, err := s.Patched([]byte(`{"a":1,"a":2}`), noon)
	if !errors.Is(err, ErrInvalidRequest) || changed || string(after.Data) != string(s.Data) || after.Version != 1 {
		t.Errorf("%+v, %v, %v", after, changed, err)
	}
}

func TestAPatchLeavesTheOldCopyAlone(t *testing.T) {
	old := start(t)
	patch := []byte(`{"plan":"paid"}`)
	s, changed, err := old.Patched(patch, noon+1)
	if err != nil || !changed {
		t.Fatal(err)
	}
	for i := range patch {
		patch[i] = '!'
	}
	if string(old.Data) != `{"plan":"free"}` || string(s.Data) != `{"plan":"paid"}` || old.Version != 1 {
		t.Errorf("old %s, new %s", old.Data, s.Data)
	}
}

func TestALabelIsHeldToItsLimit(t *testing.T) {
	s, err := start(t).Labelled("Ada's phone")
	if err != nil || s.Device.Label != "Ada's phone" || s.Version != 1 {
		t.Fatalf("%+v, %v", s.Device, err)
	}
	if s, err = s.Labelled("a\nb"); !errors.Is(err, ErrInvalidRequest) || s.Device.Label != "Ada's phone" {
		t.Errorf("%+v, %v", s.Device, err)
	}
}

func BenchmarkLiveAt(b *testing.B) {
	s := start(b)
	for b.Loop() {
		if !s.LiveAt(noon) {
			b.Fatal("ended")
		}
	}
}

func BenchmarkPatched(b *testing.B) {
	s := start(b)
	patch := []byte(`{"plan":"professional","needs_onboarding":false}`)
	for b.Loop() {
		if _, _, err := s.Patched(patch, noon); err != nil {
			b.Fatal(err)
		}
	}
}
