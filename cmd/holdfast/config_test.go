package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// usableConfig is a configuration that nothing is wrong with.
func usableConfig(t *testing.T) Config {
	t.Helper()
	var cfg Config
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	cfg.flags(flags)
	cfg.NodeID, cfg.DataDir, cfg.ClusterKeyFile = "n1", t.TempDir(), "cluster.key"
	cfg.HTTPAddr, cfg.ClusterAddr, cfg.GossipAddr = "127.0.0.1:0", "127.0.0.1:7001", "127.0.0.1:7101"
	return cfg
}

func TestTheDefaultsAreWithoutFault(t *testing.T) {
	if err := usableConfig(t).Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestEachFaultNamesItsFlag(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"node-id":          func(c *Config) { c.NodeID = "a b" },
		"data-dir":         func(c *Config) { c.DataDir = "" },
		"http-addr":        func(c *Config) { c.HTTPAddr = "" },
		"admin-addr":       func(c *Config) { c.AdminAddr = "8080" },
		"cluster-addr":     func(c *Config) { c.ClusterAddr = "x" },
		"advertise-addr":   func(c *Config) { c.AdvertiseAddr = "x" },
		"gossip-addr":      func(c *Config) { c.GossipAddr = "x" },
		"join":             func(c *Config) { c.Join = []string{"a:1", "b"} },
		"role":             func(c *Config) { c.Role = "king" },
		"cluster-key-file": func(c *Config) { c.ClusterKeyFile = "" },
		"max-staleness":    func(c *Config) { c.MaxStaleness = time.Millisecond },
		"disk-timeout":     func(c *Config) { c.DiskTimeout = time.Nanosecond },
		"tls-cert":         func(c *Config) { c.TLSKey = "x" },
		"trusted-proxies":  func(c *Config) { c.TrustedProxies = []string{"10.0.0.0"[:7]} },
		"trusted-origins":  func(c *Config) { c.TrustedOrigins = []string{"example.org"} },
		"rate-per-address": func(c *Config) { c.RatePerAddress = -1 },
		"jwt-audience":     func(c *Config) { c.JWTIssuer = []string{"https://x/"} },
		"jwt-issuer":       func(c *Config) { c.JWTAudience = []string{"us"} },
		"jwt-jwks-file": func(c *Config) {
			c.JWTIssuer, c.JWTAudience, c.JWTJWKSFile = []string{"https://x/"}, []string{"us"}, []string{"a", "b"}
		},
		"jwt-max-lifetime":        func(c *Config) { c.JWTMaxLifetime = -1 },
		"idle-timeout":            func(c *Config) { c.IdleTimeout = time.Minute },
		"absolute-timeout":        func(c *Config) { c.AbsoluteTimeout = time.Minute },
		"touch-interval":          func(c *Config) { c.TouchInterval = 0 },
		"sweep-interval":          func(c *Config) { c.SweepInterval = 0 },
		"max-sessions-per-user":   func(c *Config) { c.MaxSessionsPerUser = -1 },
		"max-sessions-action":     func(c *Config) { c.MaxSessionsAction = "shrug" },
		"drain-timeout":           func(c *Config) { c.DrainTimeout = 0 },
		"access-log":              func(c *Config) { c.AccessLog = "some" },
		"log-level":               func(c *Config) { c.LogLevel = "INFO+2" },
		"log-format":              func(c *Config) { c.LogFormat = "xml" },
		"tls-cert and tls-key go": func(c *Config) { c.TLSCert = "x" },
	} {
		cfg := usableConfig(t)
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestOneFaultThatTwoPackagesFindIsNamedOnce(t *testing.T) {
	cfg := usableConfig(t)
	cfg.NodeID = ""
	cfg.Join = []string{"a", "b"}
	lines := strings.Split(cfg.Validate().Error(), "\n")
	if len(lines) != 3 {
		t.Errorf("want one fault of node-id and two of join, got %q", lines)
	}
}

func TestSeveralIssuersTakeTheirValuesInOrder(t *testing.T) {
	cfg := usableConfig(t)
	cfg.JWTIssuer, cfg.JWTAudience = []string{"https://a/", "https://b/"}, []string{"us"}
	cfg.JWTUserPrefix, cfg.JWTJWKSFile, cfg.JWTJWKSURL = []string{"a|", "b|"}, []string{"a.json", ""}, []string{"", "https://b/keys"}
	logins, err := cfg.logins()
	if err != nil || cfg.Validate() != nil {
		t.Fatal(err, cfg.Validate())
	}
	a, b := logins.Issuers[0], logins.Issuers[1]
	if a.JWKSFile != "a.json" || a.JWKSURL != "" || b.JWKSFile != "" || b.JWKSURL != "https://b/keys" || b.UserPrefix != "b|" {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestOtherNodesAreToldAnAddressThatTheyCanReach(t *testing.T) {
	for _, c := range []struct{ listening, cluster, advertise, want string }{
		{"127.0.0.1:8081", "10.0.0.1:7001", "", "127.0.0.1:8081"},
		{"[::]:8081", "10.0.0.1:7001", "", "10.0.0.1:8081"},
		{"0.0.0.0:8081", "0.0.0.0:7001", "n1.example:7001", "n1.example:8081"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.listening)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{ClusterAddr: c.cluster, AdvertiseAddr: c.advertise}
		if got := cfg.reachableHTTP(addr); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestTrustedProxiesAreRangesOrSingleAddresses(t *testing.T) {
	cfg := usableConfig(t)
	cfg.TrustedProxies = []string{"10.1.2.3/8", "192.0.2.1", "2001:db8::1"}
	a, err := cfg.api()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range a.TrustedProxies {
		got = append(got, p.String())
	}
	if want := "10.0.0.0/8 192.0.2.1/32 2001:db8::1/128"; strings.Join(got, " ") != want {
		t.Errorf("got %s", got)
	}
}
