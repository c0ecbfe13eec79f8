package api

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// maxIdempotencyKeyBytes bounds the header Idempotency-Key.
const maxIdempotencyKeyBytes = 255

// idempotency reads Idempotency-Key. The scope tells apart who asks, for which session, and what for; two writes of one
// scope with different bodies are a mistake that the machine refuses.
func (c *call) idempotency(who *caller, body []byte) (*session.Idempotency, error) {
	key, there, err := c.header(headerIdempotency)
	if err != nil || !there {
		return nil, err
	}
	if len(key) > maxIdempotencyKeyBytes || !printableASCII(key) {
		return nil, session.ErrInvalidRequest.With("the header Idempotency-Key must be 1 to %d printable ASCII characters", maxIdempotencyKeyBytes)
	}
	scope := sha256.New()
	part(scope, key)
	switch who.credential {
	case credentialKey:
		digest := who.key.Hash()
		part(scope, "key", string(digest[:]))
	case credentialLogin:
		part(scope, "login", who.login.UserID)
	default:
		part(scope, "session", "")
	}
	if who.parsed && !c.route.endsSession {
		// Not so for a create: the session sent along has ended by the time that the create is repeated, and a client may
		// have dropped it.
		proof := who.token.Proof()
		part(scope, string(proof.ID[:]), string(proof.Hash[:]))
	} else {
		part(scope, "", "")
	}
	part(scope, c.r.Method, strings.TrimSuffix(c.r.URL.Path, "/"), c.r.URL.RawQuery)
	id := &session.Idempotency{Body: sha256.Sum256(body)}
	scope.Sum(id.Scope[:0])
	return id, nil
}

// part adds texts with their lengths, so that no two lists of them write the same bytes.
func part(h hash.Hash, texts ...string) {
	for _, text := range texts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		h.Write(length[:])
		h.Write([]byte(text))
	}
}
