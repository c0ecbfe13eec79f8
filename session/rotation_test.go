package session

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"
)

func hashOf(b byte) SecretHash { return Token{Secret: Secret{b}}.Hash() }

func TestWhatASecretIsToASession(t *testing.T) {
	s := start(t)
	s.SecretHash, s.SecretSetAt = hashOf(0), noon
	first := noon.Add(RotationGrace)
	if s.Rotates(first-1) || !s.Rotates(first) {
		t.Error("a secret is kept for another time than the grace")
	}
	s = s.Rotated(hashOf(1), []byte("sealed"), first)
	second := first.Add(RotationGrace)
	for _, c := range []struct {
		secret byte
		at     Time
		want   Standing
	}{
		{1, first, Current},
		{0, first, InGrace},
		{0, second - 1, InGrace},
		{0, second, UsedUp},
		{2, first, Unknown},
		{2, second, Unknown},
	} {
		if got := s.Standing(hashOf(c.secret), c.at); got != c.want {
			t.Errorf("secret %d at %v is %d, want %d", c.secret, c.at, got, c.want)
		}
	}
	settled := s.Settled()
	if settled.Standing(hashOf(0), first) != UsedUp || settled.Standing(hashOf(1), first) != Current || settled.Rotation.Sealed != nil {
		t.Errorf("settled: %+v", settled.Rotation)
	}
	again := s.Rotated(hashOf(2), nil, second)
	if again.Standing(hashOf(0), second) != UsedUp || again.Standing(hashOf(1), second) != InGrace {
		t.Errorf("rotated twice: %+v", again.Rotation)
	}
	if s.Standing(hashOf(1), second) != Current || len(s.Rotation.Used) != 1 {
		t.Error("a rotation has changed the copy that it was made of")
	}
}

// Whoever rotates as fast as is allowed does not make a session forget the secrets
// that it had for long.
func TestTheSecretsThatWereHeldForLongAreRemembered(t *testing.T) {
	s := start(t)
	s.SecretHash, s.SecretSetAt = hashOf(0), noon
	at := noon
	rotate := func(next byte, after time.Duration) {
		at = at.Add(after)
		s = s.Rotated(hashOf(next), nil, at).Settled()
	}
	rotate(1, 50*time.Minute) // 0 was held for long
	rotate(2, time.Minute)
	for i := range byte(40) {
		rotate(3+i, RotationGrace)
	}
	if len(s.Rotation.Used) != MaxUsed {
		t.Fatalf("%d used secrets are remembered", len(s.Rotation.Used))
	}
	for secret, want := range map[byte]Standing{0: UsedUp, 1: UsedUp, 41: UsedUp, 42: Current, 10: Unknown, 43: Unknown} {
		if got := s.Standing(hashOf(secret), at); got != want {
			t.Errorf("secret %d is %d, want %d", secret, got, want)
		}
	}
}

func TestASealedSecretOpensForTheOldOneAlone(t *testing.T) {
	key, other := bytes.Repeat([]byte{7}, SealKeyLen), bytes.Repeat([]byte{8}, SealKeyLen)
	id, old, next := ID{1}, Secret{2}, Secret{3}
	sealed, err := SealSecret(rand.Reader, key, id, old, next)
	if err != nil || len(sealed) != SealedLen || bytes.Contains(sealed, next[:8]) {
		t.Fatalf("%x, %v", sealed, err)
	}
	if got, err := OpenSecret(key, id, old, sealed); err != nil || got != next {
		t.Errorf("%x, %v", got[:], err)
	}
	for name, open := range map[string]func() (Secret, error){
		"another cluster": func() (Secret, error) { return OpenSecret(other, id, old, sealed) },
		"another session": func() (Secret, error) { return OpenSecret(key, ID{9}, old, sealed) },
		"another secret":  func() (Secret, error) { return OpenSecret(key, id, next, sealed) },
		"a short key":     func() (Secret, error) { return OpenSecret(key[1:], id, old, sealed) },
	} {
		if got, err := open(); err == nil || got != (Secret{}) {
			t.Errorf("%s opens it: %x", name, got[:])
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := OpenSecret(key, id, old, bad); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	if _, err := SealSecret(rand.Reader, nil, id, old, next); err == nil {
		t.Error("sealed without a key")
	}
	if _, err := SealSecret(bytes.NewReader(nil), key, id, old, next); err == nil {
		t.Error("sealed without randomness")
	}
}

func FuzzOpenSecret(f *testing.F) {
	key := bytes.Repeat([]byte{7}, SealKeyLen)
	sealed, _ := SealSecret(rand.Reader, key, ID{1}, Secret{2}, Secret{3})
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if next, err := OpenSecret(key, ID{1}, Secret{2}, sealed); err != nil && next != (Secret{}) {
			t.Error("an error came with a secret")
		}
	})
}

func TestWhichClientsAreStrange(t *testing.T) {
	const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	known := Device{IP: "192.0.2.1", UserAgent: agent}
	v6 := Device{IP: "2001:db8:1::1"}
	for _, c := range []struct {
		device Device
		client Client
		want   string
	}{
		{known, Client{}, ""},
		{known, Client{IP: "192.0.2.1", UserAgent: agent}, ""},
		{known, Client{IP: "192.0.2.255"}, ""},
		{known, Client{IP: "192.0.3.1"}, SuspiciousNetwork},
		{known, Client{IP: "::ffff:192.0.2.9"}, ""},
		{known, Client{IP: "2001:db8::1"}, SuspiciousNetwork},
		{v6, Client{IP: "2001:db8:1:ffff::9", UserAgent: "any"}, ""},
		{v6, Client{IP: "2001:db8:2::1"}, SuspiciousNetwork},
		{known, Client{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"}, ""},
		{known, Client{UserAgent: "curl/8.5.0"}, SuspiciousUserAgent},
		{Device{IP: "unix"}, Client{IP: "unix"}, ""},
		{Device{IP: "unix"}, Client{IP: "192.0.2.1"}, SuspiciousNetwork},
		{Device{}, Client{IP: "192.0.2.1", UserAgent: "curl"}, ""},
	} {
		if got := c.device.Strange(c.client); got != c.want {
			t.Errorf("%+v after %+v is %q, want %q", c.client, c.device, got, c.want)
		}
	}
}

func TestClientChangesHaveNames(t *testing.T) {
	for c := ClientChangeOff; c <= ClientChangeRevoke; c++ {
		if got, err := ParseClientChange(c.String()); err != nil || got != c {
			t.Errorf("%q is read as %v, %v", c, got, err)
		}
	}
	if _, err := ParseClientChange("Log"); CodeOf(err) != CodeInvalidRequest {
		t.Error(err)
	}
	if (ClientChangeRevoke + 1).String() != "unknown" {
		t.Error("a value that is none has a name")
	}
	p := DefaultPolicy()
	p.ClientChange = ClientChangeRevoke + 1
	if p.Validate() == nil {
		t.Error("a policy that is none is valid")
	}
}
