// Package auth says who is calling: it checks service and operator keys against a file of hashes, and login JWTs
// against the key sets (JWKS) of the issuers that the operator trusts.
//
// It knows the formats of keys, of the keys file and of JWTs. It knows nothing of HTTP requests to Holdfast, of sessions,
// or of what a caller may do once it is known: that is the api package's.
//
// # The keys file
//
// A JSON object, at most 1 MiB, that holds no key, only the SHA-256 of each:
//
//	{
//	  "version": 1,
//	  "keys": [
//	    {"name": "web", "role": "service", "sha256": "<64 lower-case hex digits>", "created": "2025-01-31T12:00:00Z"}
//	  ]
//	}
//
// A key is "hfk_" (role service) or "hfo_" (role operator) and 43 characters of unpadded base64url, that is 32 random
// bytes: too many for a guess, so that one plain SHA-256 is enough and a request costs no slow password hash. The hash
// covers the whole text, prefix included, so that a service key can never be presented as an operator key. A newer
// version or an unknown field is refused: an older binary must not half-understand who may do what.
//
// # Invariants
//
//   - A key is compared with every hash of the file in the same time, whichever matches, and its text is kept nowhere.
//   - A file that cannot be read or parsed changes nothing: the keys known before go on working.
//   - A JWT chooses neither its algorithm nor its key: both come from the issuer's set, where every key is pinned to one
//     algorithm when it is loaded. The headers jwk, jku, x5u and x5c are never looked at, and no request of a caller
//     makes this package connect to anything but the issuer's own JWKS address, once a cool-down.
package auth
