// Package limit says how many requests an address may make.
//
// It knows addresses and time, nothing of HTTP or of sessions. Its memory is bounded: addresses that were not heard of
// for longest are forgotten first, which gives them a full bucket again, never an empty one.
package limit

import (
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxAddresses bounds how many addresses are remembered.
const maxAddresses = 65536

// Addresses is a token bucket for each client address. It is safe for concurrent use.
type Addresses struct {
	perSecond rate.Limit
	burst     int
	buckets   *lru.Cache[netip.Addr, *rate.Limiter]
}

// NewAddresses allows perSecond requests a second and address, and burst of them at once; a burst of 0 means twice the
// rate, at least 1.
func NewAddresses(perSecond float64, burst int) *Addresses {
	if burst <= 0 {
		burst = max(1, int(2*perSecond))
	}
	buckets, err := lru.New[netip.Addr, *rate.Limiter](maxAddresses)
	if err != nil {
		panic("limit: " + err.Error()) // only for a size that is not positive
	}
	return &Addresses{perSecond: rate.Limit(perSecond), burst: burst, buckets: buckets}
}

// Allow takes one request of the address at now. If there is none left, wait is how long it takes until there is one. A
// text that is no address shares one bucket with all others of its kind.
func (a *Addresses) Allow(address string, now time.Time) (wait time.Duration, ok bool) {
	key := network(address)
	bucket, there := a.buckets.Get(key)
	if !there {
		fresh := rate.NewLimiter(a.perSecond, a.burst)
		if earlier, raced, _ := a.buckets.PeekOrAdd(key, fresh); raced {
			bucket = earlier
		} else {
			bucket = fresh
		}
	}
	reservation := bucket.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// Left says whether the address has a request left at now, without taking it; if not, wait is as in Allow.
func (a *Addresses) Left(address string, now time.Time) (wait time.Duration, ok bool) {
	bucket, there := a.buckets.Get(network(address))
	if !there {
		return 0, true
	}
	if tokens := bucket.TokensAt(now); tokens < 1 {
		return time.Duration((1 - tokens) / float64(a.perSecond) * float64(time.Second)), false
	}
	return 0, true
}

// network is what counts as one address: an IPv6 host owns its whole /64.
func network(address string) netip.Addr {
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Addr{}
	}
	parsed = parsed.Unmap().WithZone("")
	if parsed.Is4() {
		return parsed
	}
	return netip.PrefixFrom(parsed, 64).Masked().Addr()
}
