package api

import (
	"time"

	"github.com/holdfastdb/holdfast/api/limit"
	"github.com/holdfastdb/holdfast/session"
)

// rates bounds what one address may ask without a service key.
type rates struct {
	addresses *limit.Addresses // nil is no limit
}

func (r rates) check(c *call) error {
	if r.addresses == nil {
		return nil
	}
	wait, ok := r.addresses.Allow(c.client.IP, c.began)
	if ok {
		return nil
	}
	seconds := max(1, int64((wait+time.Second-1)/time.Second))
	c.set(headerRetryAfter, decimal(int(seconds)))
	return session.ErrRateLimited.With("too many requests from this address: try again in %d s", seconds)
}
