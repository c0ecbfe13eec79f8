package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfastdb/holdfast/session"
)

// MaxJWTBytes bounds the text of a login JWT.
const MaxJWTBytes = 8 << 10

// maxNumericDate bounds exp, nbf, iat and auth_time: the year 5138, far from where arithmetic on times goes wrong.
const maxNumericDate = 1e11

// Login is what a verified login JWT says.
type Login struct {
	UserID   string // the issuer's prefix and the sub
	TenantID string // from the issuer's tenant claim; may be empty
	Issuer   string
	Subject  string
	SID      string    // the provider's session, for back-channel logout; may be empty
	IssuedAt time.Time // whole seconds
	AuthTime time.Time // when the person logged in: auth_time, or iat
}

// Logins verifies login JWTs. It is safe for concurrent use.
type Logins struct {
	cfg     LoginConfig
	issuers map[string]*issuerKeys
	parser  *jwt.Parser
	client  *http.Client
	stop    context.CancelFunc
}

type issuerKeys struct {
	Issuer
	source *keySource
}

// OpenLogins checks the configuration and reads the key sets that come from files; those at addresses are fetched when
// they are first needed, so that a node starts while an issuer is down.
func OpenLogins(cfg LoginConfig) (*Logins, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	life, stop := context.WithCancel(context.Background())
	l := &Logins{cfg: cfg, issuers: make(map[string]*issuerKeys), client: newJWKSClient(), stop: stop}
	l.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256", "PS256", "ES256", "EdDSA"}),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation(),
	)
	for _, issuer := range cfg.Issuers {
		source := &keySource{
			file: issuer.JWKSFile, client: l.client, cooldown: cfg.Cooldown, maxAge: cfg.RefreshEvery,
			timeout: cfg.FetchTimeout, logger: cfg.Logger, life: life,
		}
		if issuer.JWKSFile == "" {
			source.address = issuer.jwksURL()
		}
		l.issuers[issuer.Issuer] = &issuerKeys{Issuer: issuer, source: source}
	}
	if err := l.Reload(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Reload reads the key sets that come from files again. On an error the keys known before go on working.
func (l *Logins) Reload() error {
	var faults []error
	for _, issuer := range l.issuers {
		faults = append(faults, issuer.source.reload())
	}
	return errors.Join(faults...)
}

// Close ends the fetches under way and waits for them.
func (l *Logins) Close() error {
	l.stop()
	for _, issuer := range l.issuers {
		issuer.source.mu.Lock()
		issuer.source.closed = true
		issuer.source.mu.Unlock()
		issuer.source.running.Wait()
	}
	l.client.CloseIdleConnections()
	return nil
}

// Verify checks a login JWT as RFC 8725 asks: its size, its algorithm against the key's own, its signature, issuer,
// audience and times. All that is wrong with the token is session.ErrLoginInvalid with a sentence that says what; only
// when no key of the issuer could be had at all is it session.ErrStaleNode, which is this node's trouble.
func (l *Logins) Verify(ctx context.Context, text string) (Login, error) {
	issuer, claims, err := l.verified(ctx, text, "jwt", "at+jwt")
	if err != nil {
		return Login{}, err
	}
	return l.login(issuer, claims)
}

// verified checks all of a token but its claims: its size, type and signature. The types are in lower case.
func (l *Logins) verified(ctx context.Context, text string, types ...string) (*issuerKeys, jwt.MapClaims, error) {
	if len(text) > MaxJWTBytes {
		return nil, nil, invalid("the token has %d bytes, at most %d are allowed", len(text), MaxJWTBytes)
	}
	if strings.Count(text, ".") != 2 {
		return nil, nil, invalid("this is no signed JWT: three parts with dots between them are expected")
	}
	var issuer *issuerKeys
	token, err := l.parser.Parse(text, func(token *jwt.Token) (any, error) {
		var err error
		if issuer, err = l.issuerOf(token, types); err != nil {
			return nil, err
		}
		return issuer.key(ctx, token)
	})
	if err != nil {
		return nil, nil, refusal(err)
	}
	return issuer, token.Claims.(jwt.MapClaims), nil
}

// refusal keeps our own sentences, and says of the library's errors only what helps a caller.
func refusal(err error) error {
	if own, ok := errors.AsType[*session.Error](err); ok {
		return own
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return session.ErrStaleNode.With("the login issuer's keys did not arrive in time")
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return invalid("the token is malformed")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("the signature is wrong, or its algorithm is not accepted")
	}
	return invalid("the token cannot be verified: its algorithm must be RS256, PS256, ES256 or EdDSA, and its key's own")
}

// issuerOf checks the header and finds the issuer that the token claims to be from. Nothing is verified yet.
func (l *Logins) issuerOf(token *jwt.Token, types []string) (*issuerKeys, error) {
	if _, there := token.Header["crit"]; there {
		return nil, invalid("the header crit names extensions that are not understood here")
	}
	if !hasType(token.Header, types) {
		return nil, invalid("the token's typ is not that of a token for this")
	}
	name, _ := token.Claims.(jwt.MapClaims)["iss"].(string)
	issuer := l.issuers[name]
	if issuer == nil {
		return nil, invalid("the issuer is not one that this cluster trusts")
	}
	return issuer, nil
}

// key finds the key that the token names in the issuer's own set.
func (i *issuerKeys) key(ctx context.Context, token *jwt.Token) (any, error) {
	kid := ""
	if named, there := token.Header["kid"]; there {
		var ok bool
		if kid, ok = named.(string); !ok || kid == "" || len(kid) > maxKidBytes {
			return nil, invalid("the header kid must be a string of 1 to %d bytes", maxKidBytes)
		}
	}
	set, err := i.source.lookup(ctx, kid)
	if err != nil {
		return nil, err
	}
	if set == nil {
		return nil, session.ErrStaleNode.With("the login issuer's keys could not be fetched yet")
	}
	if kid == "" {
		if set.only == "" && len(set.kids) != 1 {
			return nil, invalid("the token names no key, and the issuer has several")
		}
		token.Header["kid"] = set.only
	} else if !set.kids[kid] {
		return nil, invalid("the token names a key that the issuer does not have")
	}
	return set.keys.KeyfuncCtx(ctx)(token)
}

// login reads the verified claims.
func (l *Logins) login(issuer *issuerKeys, claims jwt.MapClaims) (Login, error) {
	if err := issuer.checkAudience(claims); err != nil {
		return Login{}, err
	}
	if _, there := claims["events"]; there {
		return Login{}, invalid("a token with events is no login")
	}
	issued, expires, err := l.checkTimes(claims)
	switch {
	case err != nil:
		return Login{}, err
	case expires.IsZero():
		return Login{}, invalid("the claim exp is missing")
	case expires.Sub(issued) > l.cfg.MaxLifetime:
		return Login{}, invalid("the token lives longer than the %s that are allowed", l.cfg.MaxLifetime)
	}
	subject, err := textClaim(claims, "sub", session.MaxSubjectBytes)
	if err != nil || subject == "" {
		return Login{}, invalid("the claim sub must be a string of 1 to %d bytes without control characters", session.MaxSubjectBytes)
	}
	sid, err := textClaim(claims, "sid", session.MaxSIDBytes)
	if err != nil {
		return Login{}, err
	}
	login := Login{
		Issuer: issuer.Issuer.Issuer, Subject: subject, SID: sid,
		IssuedAt: issued.Truncate(time.Second), AuthTime: issued.Truncate(time.Second),
	}
	if login.UserID, err = issuer.userID(subject); err != nil {
		return Login{}, err
	}
	if issuer.TenantClaim != "" {
		if login.TenantID, err = textClaim(claims, issuer.TenantClaim, session.MaxTenantIDBytes); err != nil {
			return Login{}, err
		}
	}
	if at, there, err := dateClaim(claims, "auth_time"); err == nil && there {
		login.AuthTime = at
	}
	return login, nil
}

// userID is the user that a subject of this issuer is.
func (i *issuerKeys) userID(subject string) (string, error) {
	user := i.UserPrefix + subject
	if len(user) > session.MaxUserIDBytes {
		return "", invalid("the claim sub makes a user id of more than %d bytes", session.MaxUserIDBytes)
	}
	return user, nil
}

// checkAudience demands that the token is meant for us.
func (i *issuerKeys) checkAudience(claims jwt.MapClaims) error {
	audiences, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(i.Audiences, a) }) {
		return invalid("the token is not meant for this audience")
	}
	return nil
}

// checkTimes holds exp, nbf and iat against the clock. All but iat may be missing; then expires is zero.
func (l *Logins) checkTimes(claims jwt.MapClaims) (issued, expires time.Time, err error) {
	issued, hasIssued, err := dateClaim(claims, "iat")
	if err != nil {
		return issued, expires, err
	}
	expires, hasExpires, err := dateClaim(claims, "exp")
	if err != nil {
		return issued, expires, err
	}
	notBefore, hasNotBefore, err := dateClaim(claims, "nbf")
	if err != nil {
		return issued, expires, err
	}
	now := l.cfg.Now()
	switch {
	case !hasIssued:
		err = invalid("the claim iat is missing")
	case hasExpires && !now.Before(expires.Add(l.cfg.Leeway)):
		err = invalid("the token has expired")
	case hasNotBefore && now.Add(l.cfg.Leeway).Before(notBefore):
		err = invalid("the token is not valid yet")
	case now.Add(l.cfg.Leeway).Before(issued):
		err = invalid("the token was issued in the future")
	}
	return issued, expires, err
}

// dateClaim reads a NumericDate (RFC 7519, section 2), fractions included.
func dateClaim(claims jwt.MapClaims, name string) (at time.Time, there bool, err error) {
	value, there := claims[name]
	if !there {
		return time.Time{}, false, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, true, invalid("the claim %s is no number", name)
	}
	seconds, err := number.Float64()
	if err != nil || !(seconds >= 0 && seconds <= maxNumericDate) {
		return time.Time{}, true, invalid("the claim %s is no date", name)
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true, nil
}

// textClaim reads an optional string claim: valid UTF-8 without control characters, at most limit bytes.
func textClaim(claims jwt.MapClaims, name string, limit int) (string, error) {
	value, there := claims[name]
	if !there || value == nil {
		return "", nil
	}
	text, ok := value.(string)
	// The JSON decoder has put U+FFFD for bytes that are no UTF-8: two different subjects could become the same.
	bad := func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\uFFFD' }
	if !ok || len(text) > limit || strings.ContainsFunc(text, bad) {
		return "", invalid("the claim %s must be a string of at most %d bytes without control characters", name, limit)
	}
	return text, nil
}

// hasType says whether a header's typ, if there is one, is among the allowed (RFC 8725, section 3.11): a token that was
// made for one purpose must not serve another.
func hasType(header map[string]any, allowed []string) bool {
	typ, there := header["typ"]
	if !there {
		return true
	}
	name, _ := typ.(string)
	return slices.Contains(allowed, strings.TrimPrefix(strings.ToLower(name), "application/"))
}

func invalid(format string, args ...any) error {
	return session.ErrLoginInvalid.With("%s", fmt.Sprintf(format, args...))
}
