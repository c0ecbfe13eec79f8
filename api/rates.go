package api

import (
	"time"

	"github.com/holdfastdb/holdfast/api/limit"
	"github.com/holdfastdb/holdfast/session"
)

// rates bounds what one address may ask without a service key. A nil limit is none.
type rates struct {
	addresses *limit.Addresses // requests of every kind
	creates   *limit.Addresses // sessions made on the strength of a login JWT
	doubts    *limit.Addresses // session tokens that are none of a live session, login JWTs and keys that are refused
}

// rate is one of the limits, by the name that its refusals have in the metrics.
type rate string

const (
	rateRequests  rate = "requests"
	rateLogins    rate = "logins"
	rateBadTokens rate = "bad_tokens"
)

// complaints are what the one who is refused reads.
var complaints = map[rate]string{
	rateRequests:  "too many requests from this address",
	rateLogins:    "too many logins from this address",
	rateBadTokens: "too many bad tokens from this address",
}

func (r rates) check(c *call) error {
	return pay(c, r.addresses, rateRequests)
}

// doubt is what a node asks before it confirms that the caller's token is none, and nil for those with a service key. A
// good token costs nothing, and one that this node knows is never limited: whoever shares an address with a guesser goes on.
// Right after a login another node knows the token at once for a request that brings the index of it.
func (c *call) doubt(who *caller) session.Doubt {
	if who.credential == credentialKey || c.s.limits.doubts == nil {
		return nil
	}
	return func(confirmed bool) error {
		if confirmed {
			_, _ = c.s.limits.doubts.Allow(c.client.IP, c.began)
			return nil
		}
		wait, ok := c.s.limits.doubts.Left(c.client.IP, c.began)
		if ok {
			return nil
		}
		return c.limited(wait, rateBadTokens)
	}
}

// bad counts a credential of the caller that is none, and refuses it with 429 where there were too many.
func (c *call) bad(who *caller) error {
	doubt := c.doubt(who)
	if err := doubt.Ask(); err != nil {
		return err
	}
	doubt.Count()
	return nil
}

// pay takes one of what the caller's address may.
func pay(c *call, from *limit.Addresses, by rate) error {
	if from == nil {
		return nil
	}
	wait, ok := from.Allow(c.client.IP, c.began)
	if ok {
		return nil
	}
	return c.limited(wait, by)
}

func (c *call) limited(wait time.Duration, by rate) error {
	c.s.metrics.limited.WithLabelValues(string(by)).Inc()
	seconds := max(1, int64((wait+time.Second-1)/time.Second))
	c.set(headerRetryAfter, decimal(int(seconds)))
	return session.ErrRateLimited.With("%s: try again in %d s", complaints[by], seconds)
}

// rateBurst is how many may come at once: many people may stand behind one address.
func rateBurst(perSecond float64) int { return max(1, int(10*perSecond)) }
