package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
)

const (
	maxJWKSBytes   = 1 << 20
	maxJWKSKeys    = 100
	maxKidBytes    = 256
	minRSAKeyBits  = 2048
	maxRSAKeyBits  = 8192 // a signature check grows with the square of it
	maxJWKSFollows = 3
)

// keySet is one loaded JWKS. It never changes: a refresh makes a new one.
type keySet struct {
	keys keyfunc.Keyfunc
	kids map[string]bool
	only string // the kid of the only key, for tokens that name none; "" if there are several
}

// parseJWKS takes the usable keys of a JWKS and pins each to one algorithm: its own alg, or what its type allows. Keys
// for encryption, symmetric keys and types that we do not check are left out, as RFC 7517, section 5 has it; a set in
// which none is left is an error.
func parseJWKS(raw []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("parse key set: %w", err)
	}
	if len(doc.Keys) > maxJWKSKeys {
		return nil, fmt.Errorf("key set holds %d keys, at most %d are allowed", len(doc.Keys), maxJWKSKeys)
	}
	store := jwkset.NewMemoryStorage()
	set := &keySet{kids: make(map[string]bool)}
	var skipped []error
	for _, raw := range doc.Keys {
		// One by one: a key of a kind that is not known here may hold members of any type.
		var marshal jwkset.JWKMarshal
		if err := json.Unmarshal(raw, &marshal); err != nil {
			skipped = append(skipped, err)
			continue
		}
		key, err := usableKey(marshal)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %q: %w", marshal.KID, err))
			continue
		}
		if set.kids[marshal.KID] {
			return nil, fmt.Errorf("key set holds two keys named %q", marshal.KID)
		}
		if err := store.KeyWrite(context.Background(), key); err != nil {
			return nil, fmt.Errorf("keep key %q: %w", marshal.KID, err)
		}
		set.kids[marshal.KID] = true
		set.only = marshal.KID
	}
	if len(set.kids) == 0 {
		return nil, fmt.Errorf("key set holds no usable key: %w", errors.Join(skipped...))
	}
	if len(set.kids) > 1 {
		set.only = ""
	}
	keys, err := keyfunc.New(keyfunc.Options{Storage: store, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	if err != nil {
		return nil, err
	}
	set.keys = keys
	return set, nil
}

func usableKey(marshal jwkset.JWKMarshal) (jwkset.JWK, error) {
	if len(marshal.KID) > maxKidBytes {
		return jwkset.JWK{}, errors.New("its kid is too long")
	}
	if marshal.USE != "" && marshal.USE != jwkset.UseSig {
		return jwkset.JWK{}, fmt.Errorf("its use is %q", marshal.USE)
	}
	// Certificates beside the key are not needed, and the library would fetch what x5u points to.
	marshal.X5U, marshal.X5C, marshal.X5T, marshal.X5TS256 = "", nil, "", ""
	algorithm, err := pinnedAlgorithm(marshal)
	if err != nil {
		return jwkset.JWK{}, err
	}
	marshal.ALG = algorithm
	key, err := jwkset.NewJWKFromMarshal(marshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, err
	}
	switch public := key.Key().(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSAKeyBits || bits > maxRSAKeyBits || public.E < 3 || public.E%2 == 0 {
			return jwkset.JWK{}, fmt.Errorf("an RSA key of %d bits and exponent %d is not accepted", bits, public.E)
		}
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return jwkset.JWK{}, errors.New("only the curve P-256 is accepted")
		}
	case ed25519.PublicKey:
	default:
		return jwkset.JWK{}, fmt.Errorf("type %T is not accepted", public)
	}
	return key, nil
}

// pinnedAlgorithm is the one algorithm that a key may verify. An RSA key that names none is held to RS256, which is what
// every issuer that leaves alg out signs with: one key must never serve two algorithms (RFC 8725, section 3.1).
func pinnedAlgorithm(marshal jwkset.JWKMarshal) (jwkset.ALG, error) {
	var allowed []jwkset.ALG
	switch marshal.KTY {
	case jwkset.KtyRSA:
		allowed = []jwkset.ALG{jwkset.AlgRS256, jwkset.AlgPS256}
	case jwkset.KtyEC:
		allowed = []jwkset.ALG{jwkset.AlgES256}
	case jwkset.KtyOKP:
		allowed = []jwkset.ALG{jwkset.AlgEdDSA}
	}
	for _, algorithm := range allowed {
		if marshal.ALG == "" || marshal.ALG == algorithm {
			return algorithm, nil
		}
	}
	return "", fmt.Errorf("type %q with algorithm %q is not accepted", marshal.KTY, marshal.ALG)
}

// newJWKSClient is the client for key sets. It follows redirects within the same origin only: an issuer that redirects
// elsewhere would choose our keys' home for us.
func newJWKSClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxJWKSFollows {
				return errors.New("too many redirects")
			}
			if origin(next.URL) != origin(via[0].URL) {
				return fmt.Errorf("redirected to another origin, %s", origin(next.URL))
			}
			return nil
		},
	}
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// fetchJWKS reads the key set at address; ctx bounds it in time, maxJWKSBytes in size.
func fetchJWKS(ctx context.Context, client *http.Client, address string) (*keySet, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(raw) > maxJWKSBytes {
		return nil, fmt.Errorf("key set is larger than %d bytes", maxJWKSBytes)
	}
	return parseJWKS(raw)
}
