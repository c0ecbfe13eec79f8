package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// policyDigest is of the flags that every node should have alike, as a node decides by its own: for sessions, and whose
// logins are accepted. Lists whose order means nothing are sorted.
func (c Config) policyDigest() string {
	policy := c.policy()
	policy.ProtectedKeys = sorted(policy.ProtectedKeys)
	text, err := json.Marshal(struct {
		Policy                       session.Policy
		Issuers, Audiences, Prefixes []string
		Tenant                       string
		Lifetime                     time.Duration
	}{policy, c.JWTIssuer, sorted(c.JWTAudience), c.JWTUserPrefix, c.JWTTenantClaim, c.JWTMaxLifetime})
	if err != nil {
		panic("digest of the policy: " + err.Error()) // strings and numbers only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// sorted is a sorted copy, never nil.
func sorted(list []string) []string {
	copied := append([]string{}, list...)
	slices.Sort(copied)
	return slices.Compact(copied)
}
