package main

import (
	"testing"
	"time"
)

func TestThePolicysDigestTellsWhatMattersApart(t *testing.T) {
	plain := Config{IdleTimeout: time.Hour, ProtectedKeys: []string{"a", "b"}, JWTAudience: []string{"x", "y"}, ClientChange: "log"}
	same := plain
	same.ProtectedKeys, same.JWTAudience = []string{"b", "a", "a"}, []string{"y", "x"}
	same.NodeID, same.HTTPAddr, same.TLSCert = "n2", ":1", "cert"
	if len(plain.policyDigest()) != 16 || same.policyDigest() != plain.policyDigest() {
		t.Errorf("%s and %s", plain.policyDigest(), same.policyDigest())
	}
	for name, change := range map[string]func(*Config){
		"idle timeout":   func(c *Config) { c.IdleTimeout++ },
		"protected keys": func(c *Config) { c.ProtectedKeys = []string{"a"} },
		"limit":          func(c *Config) { c.MaxSessionsPerUser = 5 },
		"client change":  func(c *Config) { c.ClientChange = "revoke" },
		"issuer":         func(c *Config) { c.JWTIssuer = append(c.JWTIssuer, "https://i/") },
		"audience":       func(c *Config) { c.JWTAudience = []string{"x"} },
		"prefix":         func(c *Config) { c.JWTUserPrefix = []string{"p"} },
		"max lifetime":   func(c *Config) { c.JWTMaxLifetime++ },
	} {
		other := plain
		change(&other)
		if other.policyDigest() == plain.policyDigest() {
			t.Errorf("another %s has the same digest", name)
		}
	}
}
