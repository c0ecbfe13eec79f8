package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/api/auth"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/session"
)

// This file turns the flags into what each package wants to be told. Each package checks its own part.

func (c Config) policy() session.Policy {
	change, _ := session.ParseClientChange(c.ClientChange) // validatePolicy has its error
	return session.Policy{
		ClientChange: change,
		IdleTimeout:  c.IdleTimeout, AbsoluteTimeout: c.AbsoluteTimeout, TouchInterval: c.TouchInterval,
		ProtectedKeys: c.ProtectedKeys, MaxPerUser: c.MaxSessionsPerUser, RejectOverLimit: c.MaxSessionsAction == actionReject,
	}
}

// What happens to a login above --max-sessions-per-user.
const (
	actionEvict  = "evict"
	actionReject = "reject"
)

func (c Config) validatePolicy() error {
	return errors.Join(
		c.policy().Validate(),
		mustChooseOne("client-change", c.ClientChange, "off", "log", "revoke"),
		mustChooseOne("max-sessions-action", c.MaxSessionsAction, actionEvict, actionReject))
}

func (c Config) cluster() cluster.Config {
	return cluster.Config{
		NodeID: c.NodeID, DataDir: c.DataDir, Zone: c.Zone, Role: c.Role, Version: versionText(),
		ClusterAddr: c.ClusterAddr, AdvertiseAddr: c.AdvertiseAddr, GossipAddr: c.GossipAddr, Join: c.Join,
		BootstrapExpect: c.BootstrapExpect, KeyFile: c.ClusterKeyFile, ClusterSize: c.ClusterSize,
		DeadServerAfter: c.DeadServerAfter, StableTime: c.StableTime,
		MaxStaleness: c.MaxStaleness, RequestTimeout: c.RequestTimeout,
		RaftMultiplier: c.RaftMultiplier, DiskTimeout: c.DiskTimeout,
		SnapshotBytes: c.SnapshotBytes, TrailingBytes: c.TrailingBytes,
	}
}

func (c Config) validateCluster() error { return c.cluster().Validate() }

func (c Config) api() (api.Config, error) {
	cfg := api.Config{
		NodeID: c.NodeID, Policy: c.policy(), InsecureCookies: c.InsecureCookies,
		TrustedOrigins: c.TrustedOrigins, CORSOrigins: c.CORSOrigins, Hosts: c.Hosts,
		RequestTimeout: c.RequestTimeout, MaxConns: c.MaxConns,
		RatePerAddress: c.RatePerAddress, RateBurst: c.RateBurst, CreateRate: c.CreateRate, BadTokenRate: c.BadTokenRate,
		AccessLog: c.AccessLog, MetricsOnAdmin: c.AdminAddr != "",
	}
	var faults []error
	for _, text := range c.TrustedProxies {
		prefix, err := parsePrefix(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("trusted-proxies %q: want an address or a CIDR range", text))
			continue
		}
		cfg.TrustedProxies = append(cfg.TrustedProxies, prefix)
	}
	return cfg, errors.Join(faults...)
}

func (c Config) validateAPI() error {
	cfg, err := c.api()
	return errors.Join(err, cfg.Validate())
}

// parsePrefix reads a CIDR range, or one address as the range that holds it alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

// logins says whose login JWTs are accepted. With several issuers the flags that belong to one are lists in the same
// order; an empty place in a list leaves that issuer at its default.
func (c Config) logins() (auth.LoginConfig, error) {
	cfg := auth.LoginConfig{MaxLifetime: c.JWTMaxLifetime}
	var faults []error
	place := func(flag string, list []string, i int) string {
		switch {
		case len(list) == 0:
			return ""
		case len(list) != len(c.JWTIssuer):
			if i == 0 {
				faults = append(faults, fmt.Errorf("%s: has %d values for %d of jwt-issuer", flag, len(list), len(c.JWTIssuer)))
			}
			return ""
		}
		return list[i]
	}
	for i, issuer := range c.JWTIssuer {
		cfg.Issuers = append(cfg.Issuers, auth.Issuer{
			Issuer: issuer, Audiences: c.JWTAudience, TenantClaim: c.JWTTenantClaim,
			JWKSURL:    place("jwt-jwks-url", c.JWTJWKSURL, i),
			JWKSFile:   place("jwt-jwks-file", c.JWTJWKSFile, i),
			UserPrefix: place("jwt-user-prefix", c.JWTUserPrefix, i),
		})
	}
	if len(c.JWTIssuer) == 0 && len(c.JWTAudience)+len(c.JWTJWKSURL)+len(c.JWTJWKSFile)+len(c.JWTUserPrefix)+len(c.JWTTenantClaim) > 0 {
		faults = append(faults, errors.New("jwt-issuer is required with any other jwt- flag"))
	}
	return cfg, errors.Join(faults...)
}

func (c Config) validateLogins() error {
	cfg, err := c.logins()
	return errors.Join(err, cfg.Validate())
}

// reachableHTTP is the address that other nodes are told, for people: one that listens on every address is reached where
// its cluster port is.
func (c Config) reachableHTTP(listening net.Addr) string {
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return c.HTTPAddr
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
		return listening.String()
	}
	advertised := c.AdvertiseAddr
	if advertised == "" {
		advertised = c.ClusterAddr
	}
	if host, _, err = net.SplitHostPort(advertised); err != nil {
		return listening.String()
	}
	return net.JoinHostPort(host, port)
}
