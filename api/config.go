package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfastdb/holdfast/api/auth"
	"github.com/holdfastdb/holdfast/session"
)

// What the access log writes.
const (
	AccessLogErrors = "errors" // answers of 500 and more
	AccessLogAll    = "all"    // every answer; a line costs as much as a read
)

const (
	defaultRequestTimeout = 5 * time.Second
	defaultHeaderTimeout  = 5 * time.Second
	defaultReadTimeout    = 10 * time.Second
	defaultWriteTimeout   = 15 * time.Second
	defaultIdleTimeout    = 2 * time.Minute
	defaultMaxConns       = 8192

	// MaxHeaderBytes bounds the head of a request, its first line included: 431 above it.
	MaxHeaderBytes = 16 << 10
	// MaxBodyBytes bounds the body of a request: 413 above it.
	MaxBodyBytes = 128 << 10
)

// Config is what the public HTTP surface needs. Zero durations and counts mean the defaults given here.
type Config struct {
	// NodeID is this node's name, sent as Holdfast-Node.
	NodeID string
	// Keys are the service and operator keys; nil means that there are none.
	Keys *auth.Keys
	// Logins verifies login JWTs; nil means that nobody can log in with one.
	Logins *auth.Logins
	// Policy is the operator's: a login may shorten its timeouts, never lengthen them.
	Policy session.Policy
	// InsecureCookies drops __Host- and Secure from the cookies, for development over http.
	InsecureCookies bool
	// TrustedProxies may say in X-Forwarded-For or Forwarded whom they speak for.
	TrustedProxies []netip.Prefix
	// TrustedOrigins ("scheme://host[:port]") may send cookie-borne writes from another origin.
	TrustedOrigins []string
	// CORSOrigins ("scheme://host[:port]") may read and write from another origin, with cookies; none by default.
	CORSOrigins []string
	// Hosts ("name" or "name:port") are accepted in absolute-form request targets, besides the address that was connected
	// to and localhost.
	Hosts []string

	// Archives saves the whole state and restores it; nil answers 404 there.
	Archives Archives

	// TLS serves HTTPS (HTTP/1.1 and h2) if set.
	TLS *tls.Config
	// RequestTimeout bounds the work on one request (5s).
	RequestTimeout time.Duration
	// HeaderTimeout bounds the arrival of a request's head (5s), ReadTimeout of the whole request (10s), WriteTimeout of
	// the answer, counted from the end of the head (15s), IdleTimeout the rest between two requests (2m).
	HeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// MaxConns bounds the open connections of one listener (8192); more wait in the kernel's queue.
	MaxConns int
	// RatePerAddress limits requests without a service key, per second and client address (an IPv6 /64 is one address);
	// 0 is no limit. RateBurst may come at once; 0 means twice the rate.
	RatePerAddress float64
	RateBurst      int
	// CreateRate limits the sessions that one address makes with login JWTs, per second, and BadTokenRate the tokens, login
	// JWTs and keys of it that are none; 0 is no limit. Ten times as many may come at once.
	CreateRate, BadTokenRate float64

	// AccessLog is AccessLogErrors (default) or AccessLogAll.
	AccessLog string
	Logger    *slog.Logger // discarded if nil
	// Metrics registers the series of HTTP; nil keeps them unregistered.
	Metrics prometheus.Registerer
	// Tracer makes spans of requests; nil traces nothing.
	Tracer Tracer
	// MetricsHandler answers GET /metrics; nil answers 404.
	MetricsHandler http.Handler
	// MetricsOnAdmin keeps /metrics off the public handler: only AdminHandler has it then.
	MetricsOnAdmin bool
}

// Validate joins all that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !visibleASCII(c.NodeID) || len(c.NodeID) > 128 {
		fault("node-id %q: must be 1 to 128 visible ASCII characters", c.NodeID)
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{
		{"request-timeout", c.RequestTimeout},
		{"header-timeout", c.HeaderTimeout},
		{"read-timeout", c.ReadTimeout},
		{"write-timeout", c.WriteTimeout},
		{"idle-timeout of connections", c.IdleTimeout},
	} {
		if t.value < 0 {
			fault("%s: %s is negative", t.name, t.value)
		}
	}
	if c.MaxConns < 0 {
		fault("max-conns: %d is negative", c.MaxConns)
	}
	if !(c.CreateRate >= 0) {
		fault("create-rate: must not be negative")
	}
	if !(c.BadTokenRate >= 0) {
		fault("bad-token-rate: must not be negative")
	}
	if !(c.RatePerAddress >= 0) || c.RateBurst < 0 {
		fault("rate-per-address: neither the rate nor the burst may be negative")
	}
	switch c.AccessLog {
	case "", AccessLogErrors, AccessLogAll:
	default:
		fault("access-log %q: must be %q or %q", c.AccessLog, AccessLogErrors, AccessLogAll)
	}
	for _, prefix := range c.TrustedProxies {
		if !prefix.IsValid() {
			fault("trusted-proxies: not an address range")
		}
	}
	if t := c.TLS; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		fault("tls: there is no certificate")
	}
	for _, host := range c.Hosts {
		if host == "" {
			fault("hosts: a name is empty")
		}
	}
	checked := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		if err := checked.AddTrustedOrigin(origin); err != nil {
			fault("trusted-origins: %w", err)
		}
	}
	for _, origin := range c.CORSOrigins {
		if err := checkOrigin(origin); err != nil {
			fault("cors-origins %q: %w", origin, err)
		}
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.RequestTimeout, defaultRequestTimeout},
		{&c.HeaderTimeout, defaultHeaderTimeout},
		{&c.ReadTimeout, defaultReadTimeout},
		{&c.WriteTimeout, defaultWriteTimeout},
		{&c.IdleTimeout, defaultIdleTimeout},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.AccessLog == "" {
		c.AccessLog = AccessLogErrors
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

// visibleASCII says whether a text can be sent in a header as it is. The empty text cannot.
func visibleASCII(text string) bool { return printableASCII(text) && !strings.Contains(text, " ") }

// printableASCII is visibleASCII with spaces.
func printableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}
