package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const (
	defaultLeeway       = 30 * time.Second
	defaultMaxLifetime  = 24 * time.Hour
	defaultCooldown     = 10 * time.Second
	defaultRefreshEvery = 15 * time.Minute
	defaultFetchTimeout = 5 * time.Second
	// maxLeeway: clocks that differ by more are wrong, and to forgive them is to accept what has expired.
	maxLeeway = time.Minute
)

// Issuer is one provider of login JWTs: Auth0, or any OIDC issuer.
type Issuer struct {
	// Issuer must equal the claim iss to the byte. Auth0's ends in a slash.
	Issuer string
	// Audiences are ours: the claim aud must hold one of them.
	Audiences []string
	// JWKSURL is where the key set is; empty means <Issuer>/.well-known/jwks.json (a slash that is there is not
	// doubled). It is not used when JWKSFile is set.
	JWKSURL string
	// JWKSFile is a key set on disk instead, read at the start and at each Reload.
	JWKSFile string
	// UserPrefix is put before the sub to make the user id. With several issuers each needs one, and none may be the
	// beginning of another's, so that two subjects never meet in one user.
	UserPrefix string
	// TenantClaim names the claim that holds the tenant id; empty means that sessions of logins have no tenant.
	TenantClaim string
}

// LoginConfig is what Logins needs. Zero durations mean the defaults given here.
type LoginConfig struct {
	Issuers []Issuer
	// MaxLifetime refuses a JWT whose exp is further from its iat (24h). Log out everywhere remembers its moment for
	// this long, so that no JWT from before can outlive the memory of it.
	MaxLifetime time.Duration
	// Leeway forgives clocks that differ, at exp, nbf and iat (30s; a minute at most).
	Leeway time.Duration
	// Cooldown is the least time between two fetches of one key set, whoever asks for whatever kid (10s).
	Cooldown time.Duration
	// RefreshEvery is the age at which a key set is fetched again, in the background of the next login (15m).
	RefreshEvery time.Duration
	// FetchTimeout bounds one fetch, redirects and body included (5s).
	FetchTimeout time.Duration
	// Now is the clock that exp, nbf and iat are held against (time.Now).
	Now    func() time.Time
	Logger *slog.Logger // discarded if nil
}

func (c *LoginConfig) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.MaxLifetime, defaultMaxLifetime},
		{&c.Leeway, defaultLeeway},
		{&c.Cooldown, defaultCooldown},
		{&c.RefreshEvery, defaultRefreshEvery},
		{&c.FetchTimeout, defaultFetchTimeout},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate joins all that is wrong with the configuration.
func (c LoginConfig) Validate() error {
	var faults []error
	for name, d := range map[string]time.Duration{
		"jwt-max-lifetime": c.MaxLifetime, "leeway": c.Leeway, "cooldown": c.Cooldown,
		"refresh-every": c.RefreshEvery, "fetch-timeout": c.FetchTimeout,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("%s: %s is negative", name, d))
		}
	}
	if c.Leeway > maxLeeway {
		faults = append(faults, fmt.Errorf("leeway: %s is more than %s", c.Leeway, maxLeeway))
	}
	for i, issuer := range c.Issuers {
		if err := issuer.validate(); err != nil {
			faults = append(faults, fmt.Errorf("jwt-issuer %q: %w", issuer.Issuer, err))
		}
		for _, other := range c.Issuers[:i] {
			if other.Issuer == issuer.Issuer {
				faults = append(faults, fmt.Errorf("jwt-issuer %q: given twice", issuer.Issuer))
			}
			if strings.HasPrefix(issuer.UserPrefix, other.UserPrefix) || strings.HasPrefix(other.UserPrefix, issuer.UserPrefix) {
				faults = append(faults, fmt.Errorf("jwt-issuer %q and %q: with several issuers each needs a user prefix, and none may begin with another", other.Issuer, issuer.Issuer))
			}
		}
	}
	return errors.Join(faults...)
}

func (i Issuer) validate() error {
	var faults []error
	if i.Issuer == "" {
		faults = append(faults, errors.New("is empty"))
	}
	// Sessions keep both: a login of an issuer that no session may name would fail each time.
	if err := session.ValidAuth(session.Auth{Issuer: i.Issuer}); err != nil {
		faults = append(faults, err)
	}
	if err := session.ValidUserID(i.UserPrefix); err != nil {
		faults = append(faults, fmt.Errorf("user prefix: %w", err))
	}
	if len(i.Audiences) == 0 {
		faults = append(faults, errors.New("jwt-audience is needed: without it a token for any other service would do"))
	}
	for _, audience := range i.Audiences {
		if audience == "" {
			faults = append(faults, errors.New("jwt-audience is empty"))
		}
	}
	if i.JWKSURL != "" && i.JWKSFile != "" {
		faults = append(faults, errors.New("jwt-jwks-url and jwt-jwks-file exclude each other"))
	}
	if i.JWKSFile == "" && i.Issuer != "" {
		address, err := url.Parse(i.jwksURL())
		if err != nil || address.Host == "" || address.User != nil || (address.Scheme != "https" && address.Scheme != "http") {
			faults = append(faults, fmt.Errorf("%q is no http or https address of a key set", i.jwksURL()))
		}
	}
	return errors.Join(faults...)
}

// jwksURL is the address of the key set; by default where OIDC providers keep it, Auth0 among them.
func (i Issuer) jwksURL() string {
	if i.JWKSURL != "" {
		return i.JWKSURL
	}
	return strings.TrimSuffix(i.Issuer, "/") + "/.well-known/jwks.json"
}
