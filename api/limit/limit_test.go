package limit

import (
	"testing"
	"time"
)

func TestAnAddressMayMakeItsBurstAndThenItsRate(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAddresses(2, 3)
	for range 3 {
		if _, ok := a.Allow("192.0.2.1", now); !ok {
			t.Fatal("the burst was refused")
		}
	}
	wait, ok := a.Allow("192.0.2.1", now)
	if ok || wait != 500*time.Millisecond {
		t.Errorf("got %s, %v", wait, ok)
	}
	if _, ok := a.Allow("192.0.2.2", now); !ok {
		t.Error("another address was refused")
	}
	if _, ok := a.Allow("192.0.2.1", now.Add(500*time.Millisecond)); !ok {
		t.Error("refused after the wait: a refused request must cost nothing")
	}
}

func TestANetworkOfIPv6IsOneAddress(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAddresses(1, 1)
	for address, want := range map[string]bool{"2001:db8::1": true, "2001:db8:0:1::1": true, "::ffff:192.0.2.1": true} {
		if _, ok := a.Allow(address, now); ok != want {
			t.Errorf("%s: %v", address, ok)
		}
	}
	for _, address := range []string{"2001:db8::ffff", "192.0.2.1", "2001:db8:0:1:2::"} {
		if _, ok := a.Allow(address, now); ok {
			t.Errorf("%s has a bucket of its own", address)
		}
	}
}

func TestWhatIsNoAddressSharesABucket(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAddresses(1, 0)
	a.Allow("", now)
	a.Allow("x", now)
	if _, ok := a.Allow("@", now); ok {
		t.Error("rubbish has a bucket for each")
	}
}

func BenchmarkAllow(b *testing.B) {
	a := NewAddresses(1e9, 1e9)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		a.Allow("192.0.2.1", now)
	}
}

func TestWhatIsLeftIsNotTakenByLooking(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAddresses(2, 1)
	for range 3 {
		if _, ok := a.Left("192.0.2.1", now); !ok {
			t.Fatal("nothing is left before the first")
		}
	}
	a.Allow("192.0.2.1", now)
	for range 3 {
		if wait, ok := a.Left("192.0.2.1", now); ok || wait != 500*time.Millisecond {
			t.Errorf("got %s, %v", wait, ok)
		}
	}
	if _, ok := a.Left("192.0.2.1", now.Add(500*time.Millisecond)); !ok {
		t.Error("nothing is left after the wait")
	}
}
