package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/rs/cors"
)

// corsMaxAge is how many seconds a browser may remember what a preflight has allowed.
const corsMaxAge = 600

// withCORS answers the preflights of browsers, and tells them which of our headers the pages of the allowed origins may
// read. Nothing is allowed by default: an application and its session store share an origin in most installations.
func withCORS(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{
			headerAuth, headerContentType, headerIfMatch, headerIfNoneMatch, headerIdempotency,
			headerConsistency, headerIndex, headerTouch, headerLastEventID,
		},
		ExposedHeaders:   []string{headerETag, headerExpiresIn, headerIndex, headerNode, headerRequestID, headerRetryAfter},
		AllowCredentials: true,
		MaxAge:           corsMaxAge,
	}).Handler(next)
}

// checkOrigin refuses what is no origin as browsers send it. A pattern would let pages of whoever can get a name under
// it read sessions.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("must be scheme://host[:port]")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return errors.New("must be scheme://host[:port] and nothing behind it")
	case text != fmt.Sprintf("%s://%s", u.Scheme, u.Host):
		return errors.New("must be written as browsers send it, in lower case")
	}
	for _, c := range u.Host {
		if c == '*' || c >= 'A' && c <= 'Z' {
			return errors.New("must be written as browsers send it, in lower case and without patterns")
		}
	}
	return nil
}
