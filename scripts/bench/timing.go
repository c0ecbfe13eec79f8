package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// Whoever sends a session token that is none must not learn from the time of the answer what is wrong with it. Each kind
// is measured beside tokens that nobody ever had, in pairs whose order is drawn, over one connection.
const (
	timingPairs = 10_000
	// timingKept is the share of the fastest answers that is compared: what is slower was held up by the machine, and says
	// nothing about the token (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", DATE 2017).
	timingKept = .9
	// timingSuspect is the value of t above which that paper suspects a difference.
	timingSuspect = 4.5
)

// measureTiming prints Welch's t for each kind of bad token.
func (b *bench) measureTiming(ctx context.Context, c *cluster) error {
	kinds, err := b.badTokens(ctx, c)
	if err != nil {
		return err
	}
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	asked := c.nodes[0]
	if asked == leader {
		asked = c.nodes[1]
	}
	pairs := timingPairs
	if b.cfg.quick {
		pairs = 200
	}
	client := timingClient{addr: asked.httpAddr, key: c.key, http: &http.Client{Timeout: askTimeout, Transport: &http.Transport{MaxConnsPerHost: 1}}}
	defer client.http.CloseIdleConnections()
	// Until the one has expired.
	if err := harness.Poll(ctx, startTime, func() error {
		_, err := client.refused(ctx, kinds["timing-expired"])
		return err
	}); err != nil {
		return err
	}
	random := mathrand.New(mathrand.NewPCG(1, 1))
	for _, name := range []string{"timing-secret", "timing-expired", "timing-revoked"} {
		b.say("%s: %d pairs", name, pairs)
		unknown, kind, err := client.pairs(ctx, random, kinds["unknown"], kinds[name], pairs)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t := welch(fastest(unknown), fastest(kind))
		b.report.add(row{
			Name: name, Figure: micros(median(kind)), Beside: "unknown " + micros(median(unknown)), Value: pointer(max(t, -t)),
			Notes: []string{fmt.Sprintf("%d interleaved pairs through one follower, the fastest %.0f %% compared; a difference is suspected above %.1f", pairs, 100*timingKept, timingSuspect)},
		})
	}
	return nil
}

// badTokens makes a token of each kind.
func (b *bench) badTokens(ctx context.Context, c *cluster) (map[string]string, error) {
	live, expiring := &load.Tokens{}, &load.Tokens{}
	if err := b.preload(ctx, c, live, b.cfg.sizes.few); err != nil {
		return nil, err
	}
	if _, _, err := load.Preload(ctx, load.Options{Addrs: c.addrs(), Key: c.key, Tokens: expiring, ExpireAt: time.Now().Add(5 * time.Second)}, 1); err != nil {
		return nil, err
	}
	kinds := map[string]string{"timing-expired": expiring.At(0), "timing-revoked": live.At(1)}
	id, _, _ := strings.Cut(strings.TrimPrefix(live.At(0), "hfs_"), ".")
	kinds["timing-secret"] = "hfs_" + id + "." + randomSecret()
	// An id of the same age that no session has: another's last digits.
	kinds["unknown"] = "hfs_" + id[:24] + randomHex(12) + "." + randomSecret()
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+c.nodes[0].httpAddr+"/api/sessions/current/", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Session "+kinds["timing-revoked"])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("revoke a session: status %d", response.StatusCode)
	}
	return kinds, nil
}

func randomSecret() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func randomHex(n int) string {
	raw := make([]byte, n/2)
	_, _ = rand.Read(raw)
	return fmt.Sprintf("%x", raw)
}

// timingClient asks one node over one connection.
type timingClient struct {
	addr, key string
	http      *http.Client
}

// pairs measures two tokens in turn, in microseconds each.
func (c *timingClient) pairs(ctx context.Context, random *mathrand.Rand, x, y string, n int) (xs, ys []float64, err error) {
	for range n {
		first := random.IntN(2)
		for i := range 2 {
			token, to := x, &xs
			if i != first {
				token, to = y, &ys
			}
			took, err := c.refused(ctx, token)
			if err != nil {
				return nil, nil, err
			}
			*to = append(*to, float64(took.Nanoseconds())/1e3)
		}
	}
	return xs, ys, nil
}

func (c *timingClient) refused(ctx context.Context, token string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr+"/api/sessions/current/", nil)
	if err != nil {
		return 0, err
	}
	// As a backend asks: guesses of an address without a key are limited.
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Holdfast-Session", token)
	began := time.Now()
	response, err := c.http.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	took := time.Since(began)
	if err = errors.Join(err, response.Body.Close()); err == nil && response.StatusCode != http.StatusUnauthorized {
		err = fmt.Errorf("status %d, want 401", response.StatusCode)
	}
	return took, err
}

func fastest(times []float64) []float64 {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[:int(float64(len(sorted))*timingKept)]
}

// welch is Welch's t (Biometrika 34, 1947).
func welch(x, y []float64) float64 {
	mx, vx := moments(x)
	my, vy := moments(y)
	return (mx - my) / math.Sqrt(vx/float64(len(x))+vy/float64(len(y)))
}

// moments are the mean and the unbiased variance.
func moments(values []float64) (mean, variance float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		variance += (v - mean) * (v - mean) / float64(len(values)-1)
	}
	return mean, variance
}
