package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/session"
)

// Config is everything that a server can be told. Each field is the flag of the same name.
type Config struct {
	Config string

	NodeID, DataDir, Zone, Role            string
	HTTPAddr, AdminAddr                    string
	ClusterAddr, AdvertiseAddr, GossipAddr string
	Join                                   []string
	BootstrapExpect, ClusterSize           int
	DeadServerAfter, StableTime            time.Duration
	ClusterKeyFile, KeysFile               string
	MaxStaleness, DiskTimeout              time.Duration
	RaftMultiplier                         int
	SnapshotBytes, TrailingBytes           int64
	SnapshotSchedule                       time.Duration
	SnapshotDir                            string
	SnapshotKeep                           int
	DiskLowBytes, DiskReserveBytes         int64
	ScrubInterval                          time.Duration
	TLSCert, TLSKey                        string
	TrustedProxies, TrustedOrigins, Hosts  []string
	CORSOrigins                            []string
	InsecureCookies                        bool
	RequestTimeout                         time.Duration
	MaxConns                               int
	RatePerAddress                         float64
	RateBurst                              int
	CreateRate, BadTokenRate               float64
	MaxStreams                             int
	JWTIssuer, JWTAudience                 []string
	JWTJWKSURL, JWTJWKSFile, JWTUserPrefix []string
	JWTTenantClaim                         string
	JWTMaxLifetime                         time.Duration
	IdleTimeout, AbsoluteTimeout           time.Duration
	TouchInterval, SweepInterval           time.Duration
	ProtectedKeys                          []string
	MaxSessionsPerUser                     int
	MaxSessionsAction, ClientChange        string
	DrainWait, DrainTimeout                time.Duration
	AccessLog, LogLevel, LogFormat         string
	TraceEndpoint                          string
	TraceRatio                             float64
}

// flags declares the flags of a server and their defaults.
func (c *Config) flags(f *pflag.FlagSet) {
	f.StringVar(&c.Config, configFlag, "", "YAML file with flag names as keys; flags and HOLDFAST_ variables win over it")
	c.nodeFlags(f)
	c.httpFlags(f)
	c.loginFlags(f)
	c.sessionFlags(f)
	f.DurationVar(&c.DrainWait, "drain-wait", 3*time.Second, "on SIGTERM, how long to go on serving while /readyz says 503, for the load balancer to notice")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", 10*time.Second, "how long leadership transfer, and then requests under way, may take")
	f.StringVar(&c.AccessLog, "access-log", api.AccessLogErrors, "errors (answers of 500 and more) or all")
	f.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.TraceEndpoint, "trace-endpoint", "", "base URL of an OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318; empty traces nothing")
	f.Float64Var(&c.TraceRatio, "trace-ratio", 0.01, "share of the requests that are traced where the caller does not say, 0 to 1")
	f.StringVar(&c.LogFormat, "log-format", logJSON, "json, or text for people")
}

func (c *Config) nodeFlags(f *pflag.FlagSet) {
	f.StringVar(&c.NodeID, "node-id", "", "this node's name, the same for the life of its data")
	f.StringVar(&c.DataDir, "data-dir", "", "where this node keeps everything; made with mode 0700")
	f.StringVar(&c.ClusterAddr, "cluster-addr", "", "HOST:PORT for Raft and the calls between nodes")
	f.StringVar(&c.AdvertiseAddr, "advertise-addr", "", "HOST:PORT at which other nodes reach cluster-addr, if it is another")
	f.StringVar(&c.GossipAddr, "gossip-addr", "", "HOST:PORT for gossip, TCP and UDP")
	f.StringSliceVar(&c.Join, "join", nil, "gossip addresses of some nodes, separated by commas; one's own may be among them")
	f.IntVar(&c.BootstrapExpect, "bootstrap-expect", 0, "start a new cluster once so many nodes without data have met; 0 only ever joins one")
	f.StringVar(&c.ClusterKeyFile, "cluster-key-file", "", "the cluster key, as holdfast cluster-key create writes it")
	f.StringVar(&c.Role, "role", cluster.RoleVoter, "voter, or reader: serves reads and is never given a vote")
	f.IntVar(&c.ClusterSize, "cluster-size", 0, "how many voters there are meant to be: a dead server is removed only while more are left; default bootstrap-expect, at least 3")
	f.DurationVar(&c.StableTime, "stable-time", 2*time.Second, "how long a new node must keep up before it is given a vote")
	f.DurationVar(&c.DeadServerAfter, "dead-server-after", 24*time.Hour, "a member that is silent for so long is removed, one at a time; negative removes none")
	f.StringVar(&c.Zone, "zone", "", "where this node stands, for people")
	f.DurationVar(&c.MaxStaleness, "max-staleness", 5*time.Second, "a local read is refused unless this node was proved fresh within this time")
	f.IntVar(&c.RaftMultiplier, "raft-multiplier", 1, "scales heartbeats and elections for slow networks, 1 to 20")
	f.Int64Var(&c.SnapshotBytes, "snapshot-bytes", 64<<20, "after so many bytes of new log the table is flushed and the log cut")
	f.Int64Var(&c.TrailingBytes, "trailing-bytes", 64<<20, "bytes of log kept behind that; a node that is further behind is sent the whole state")
	f.Int64Var(&c.DiskLowBytes, "disk-low-bytes", 256<<20, "with less room than this on the disk of data-dir, writes that need room are refused; 0 is no mark")
	f.DurationVar(&c.SnapshotSchedule, "snapshot-schedule", 0, "write an archive of the whole state so often, from 1m on; 0 writes none")
	f.StringVar(&c.SnapshotDir, "snapshot-dir", "", "where scheduled archives go; best on another disk than data-dir")
	f.IntVar(&c.SnapshotKeep, "snapshot-keep", 7, "how many of them are kept; the oldest is removed")
	f.Int64Var(&c.DiskReserveBytes, "disk-reserve-bytes", 64<<20, "size of a file that is removed to make room when the disk is all but full; 0 is none")
	f.DurationVar(&c.ScrubInterval, "scrub-interval", 6*time.Hour, "how often all that this node keeps is reread and checked, at least 1m")
	f.DurationVar(&c.DiskTimeout, "disk-timeout", 5*time.Second, "a disk that takes longer than this for one write ends the process")
}

func (c *Config) httpFlags(f *pflag.FlagSet) {
	f.StringVar(&c.HTTPAddr, "http-addr", ":8080", "HOST:PORT of the HTTP surface")
	f.StringVar(&c.AdminAddr, "admin-addr", "", "HOST:PORT for /metrics and /debug/pprof/; /metrics then leaves http-addr")
	f.StringVar(&c.KeysFile, "keys-file", "", "service and operator keys, as holdfast keys create writes them; read again on SIGHUP")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM certificate for http-addr, with its chain; read again on SIGHUP")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM private key of tls-cert")
	f.StringSliceVar(&c.TrustedProxies, "trusted-proxies", nil, "CIDR ranges whose X-Forwarded-For and Forwarded are believed")
	f.StringSliceVar(&c.TrustedOrigins, "trusted-origins", nil, "scheme://host[:port] of other origins that may send writes with cookies")
	f.StringSliceVar(&c.CORSOrigins, "cors-origins", nil, "scheme://host[:port] of other origins whose pages may call with cookies and read the answers")
	f.StringSliceVar(&c.Hosts, "hosts", nil, "names that absolute-form requests may be for, besides the address itself")
	f.BoolVar(&c.InsecureCookies, "insecure-cookies", false, "cookies without __Host- and Secure, for development over http")
	f.DurationVar(&c.RequestTimeout, "request-timeout", 5*time.Second, "the longest that a request may wait")
	f.IntVar(&c.MaxConns, "max-conns", 8192, "open connections; more wait in the kernel's queue")
	f.Float64Var(&c.RatePerAddress, "rate-per-address", 0, "requests a second from one address without a service key; 0 is no limit")
	f.Float64Var(&c.CreateRate, "create-rate", 50, "logins a second from one address, ten times as many at once; 0 is no limit; backends with a service key have none")
	f.Float64Var(&c.BadTokenRate, "bad-token-rate", 200, "bad tokens of any kind a second from one address, ten times as many at once; 0 is no limit")
	f.IntVar(&c.MaxStreams, "max-streams", 5000, "open event streams")
	f.IntVar(&c.RateBurst, "rate-burst", 0, "how many of them may come at once; 0 is twice the rate")
}

func (c *Config) loginFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&c.JWTIssuer, "jwt-issuer", nil, "whose login JWTs are accepted: the claim iss, to the byte; several separated by commas")
	f.StringSliceVar(&c.JWTAudience, "jwt-audience", nil, "the claim aud must hold one of these")
	f.StringSliceVar(&c.JWTJWKSURL, "jwt-jwks-url", nil, "the issuer's key set; default <issuer>/.well-known/jwks.json; with several issuers in their order")
	f.StringSliceVar(&c.JWTJWKSFile, "jwt-jwks-file", nil, "the issuer's key set as a file, read again on SIGHUP; with several issuers in their order")
	f.StringSliceVar(&c.JWTUserPrefix, "jwt-user-prefix", nil, "put before the sub to make the user id; with several issuers one each, in their order")
	f.StringVar(&c.JWTTenantClaim, "jwt-tenant-claim", "", "the claim that holds the tenant id")
	f.DurationVar(&c.JWTMaxLifetime, "jwt-max-lifetime", 24*time.Hour, "a login JWT with more time between iat and exp is refused")
}

func (c *Config) sessionFlags(f *pflag.FlagSet) {
	f.DurationVar(&c.IdleTimeout, "idle-timeout", time.Hour, "a session ends after so much time without activity")
	f.DurationVar(&c.AbsoluteTimeout, "absolute-timeout", 24*time.Hour, "a session ends so long after its creation, whatever happens")
	f.DurationVar(&c.TouchInterval, "touch-interval", time.Minute, "activity of one session is written down at most this often")
	f.DurationVar(&c.SweepInterval, "sweep-interval", time.Second, "how often the leader removes expired sessions")
	f.StringSliceVar(&c.ProtectedKeys, "protected-keys", nil, "keys of data that only a service key may set")
	f.IntVar(&c.MaxSessionsPerUser, "max-sessions-per-user", 0, "live sessions that one user may have; 0 is no limit")
	f.StringVar(&c.ClientChange, "client-change", session.ClientChangeLog.String(), "when a session comes from another network or user agent: off, log (an event) or revoke it")
	f.StringVar(&c.MaxSessionsAction, "max-sessions-action", actionEvict, "at the limit: evict the least recently active session, or reject the new one")
}

// Validate joins all that is wrong, each fault once and named by its flag, whichever package it is of.
func (c Config) Validate() error {
	var faults []error
	named := make(map[string]bool)
	for _, check := range []func() error{c.validateOwn, c.validateCluster, c.validateLogins, c.validateAPI, c.validatePolicy} {
		err := check()
		if err == nil {
			continue
		}
		group := make(map[string]bool)
		for line := range strings.SplitSeq(err.Error(), "\n") {
			// Two packages that check one flag need not both be heard.
			flag, _, _ := strings.Cut(line, " ")
			if flag = strings.TrimSuffix(flag, ":"); !named[flag] {
				faults = append(faults, errors.New(line))
			}
			group[flag] = true
		}
		for flag := range group {
			named[flag] = true
		}
	}
	return errors.Join(faults...)
}

// validateOwn checks what no package below is told.
func (c Config) validateOwn() error {
	var faults []error
	for _, a := range []struct {
		flag, addr string
		optional   bool
	}{{"http-addr", c.HTTPAddr, false}, {"admin-addr", c.AdminAddr, true}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil && !(a.optional && a.addr == "") {
			faults = append(faults, fmt.Errorf("%s %q: want HOST:PORT", a.flag, a.addr))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		faults = append(faults, errors.New("tls-cert and tls-key go together"))
	}
	if c.DrainWait < 0 || c.DrainTimeout <= 0 {
		faults = append(faults, errors.New("drain-wait and drain-timeout must not be negative, and drain-timeout not zero"))
	}
	if c.MaxStreams <= 0 {
		faults = append(faults, errors.New("max-streams must be positive"))
	}
	switch {
	case c.SnapshotSchedule != 0 && c.SnapshotSchedule < minSchedule:
		faults = append(faults, fmt.Errorf("snapshot-schedule %s: want 0 or at least %s", c.SnapshotSchedule, minSchedule))
	case c.SnapshotSchedule != 0 && c.SnapshotDir == "":
		faults = append(faults, errors.New("snapshot-dir is required with snapshot-schedule"))
	}
	if c.SnapshotKeep < 1 {
		faults = append(faults, fmt.Errorf("snapshot-keep %d: want at least 1", c.SnapshotKeep))
	}
	if c.DiskLowBytes < 0 {
		faults = append(faults, errors.New("disk-low-bytes must not be negative"))
	}
	if c.DiskReserveBytes < 0 {
		faults = append(faults, errors.New("disk-reserve-bytes must not be negative"))
	}
	if c.ScrubInterval < minScrubInterval {
		faults = append(faults, fmt.Errorf("scrub-interval %s: want at least %s", c.ScrubInterval, minScrubInterval))
	}
	if c.SweepInterval < 100*time.Millisecond {
		faults = append(faults, fmt.Errorf("sweep-interval %s: want at least 100ms", c.SweepInterval))
	}
	_, err := c.logger(nil)
	return errors.Join(append(faults, c.validateTracing(), err)...)
}
