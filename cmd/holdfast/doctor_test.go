package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/api/auth"
)

// healthy is a clinic on a machine where nothing is wrong, and the configuration of a server that has not been started.
func healthy(t *testing.T) *clinic {
	t.Helper()
	files, err := openDevFiles(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3)
	data := filepath.Join(files.dir, "n1")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg, faults := parsed(t, "", nil,
		"--node-id", "n1", "--data-dir", data, "--http-addr", ports[0], "--cluster-addr", ports[1], "--gossip-addr", ports[2],
		"--cluster-key-file", files.clusterKey(), "--keys-file", files.keys(), "--bootstrap-expect", "1",
		"--jwt-issuer", devIssuer, "--jwt-audience", devAudience, "--jwt-jwks-file", files.jwks())
	if faults != nil {
		t.Fatal(faults)
	}
	c := newClinic(cfg)
	c.syncData = func(*os.File) error { return nil }
	c.space = func(string) (int64, int64, error) { return 50 << 30, 100 << 30, nil }
	c.inodes = func(string) (uint64, uint64, error) { return 900, 1000, nil }
	c.fileLimit = func() (uint64, error) { return 20_000, nil }
	c.clock = func() (bool, time.Duration, error) { return true, time.Millisecond, nil }
	c.owner = func(fs.FileInfo) (int, bool) { return c.uid, true }
	return c
}

func TestDoctorFindsNothingOnAHealthyMachine(t *testing.T) {
	for _, f := range healthy(t).examine(t.Context()) {
		if f.level != fine || f.remedy != "" {
			t.Errorf("%+v", f)
		}
	}
}

// slowly makes every sync take so long, by a clock that nothing else moves.
func slowly(c *clinic, each time.Duration) {
	at := time.Unix(1_700_000_000, 0)
	c.now = func() time.Time { return at }
	c.syncData = func(*os.File) error {
		at = at.Add(each)
		return nil
	}
}

func TestDoctorFindsWhatGoesWrongOnAMachine(t *testing.T) {
	write := func(t *testing.T, path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(t *testing.T, addr string) {
		t.Helper()
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
	}
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *clinic)
		level level
		what  string
		says  string
	}{
		{"a wrong flag", func(_ *testing.T, c *clinic) { c.cfg.RaftMultiplier = 99 }, bad, "config", "raft-multiplier"},
		{"a cluster key that others may read", func(t *testing.T, c *clinic) {
			if err := os.Chmod(c.cfg.ClusterKeyFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}, bad, "cluster-key", "may be read by others"},
		{"no cluster key", func(_ *testing.T, c *clinic) { c.cfg.ClusterKeyFile += ".lost" }, bad, "cluster-key", "no such file"},
		{"a second cluster key", func(t *testing.T, c *clinic) {
			raw, err := os.ReadFile(c.cfg.ClusterKeyFile)
			if err != nil {
				t.Fatal(err)
			}
			write(t, c.cfg.ClusterKeyFile, string(raw)+strings.Repeat("ab", 32)+"\n", 0o600)
		}, doubtful, "cluster-key", "holds 2 keys"},
		{"a data directory of others", func(t *testing.T, c *clinic) {
			if err := os.Chmod(c.cfg.DataDir, 0o755); err != nil {
				t.Fatal(err)
			}
		}, doubtful, "data-dir", "mode 0755"},
		{"a data directory of another user", func(_ *testing.T, c *clinic) {
			c.owner = func(fs.FileInfo) (int, bool) { return c.uid + 1, true }
		}, doubtful, "data-dir", "is owned by user"},
		{"a file for a directory", func(_ *testing.T, c *clinic) { c.cfg.DataDir = c.cfg.KeysFile }, bad, "data-dir", "is no directory"},
		{"a directory of another node", func(t *testing.T, c *clinic) {
			write(t, filepath.Join(c.cfg.DataDir, "identity.json"), `{"format":1,"node_id":"n2","cluster":"00000000000000aa"}`, 0o600)
		}, bad, "identity", `belongs to node "n2"`},
		{"a directory of another cluster", func(t *testing.T, c *clinic) {
			write(t, filepath.Join(c.cfg.DataDir, "identity.json"), `{"format":1,"node_id":"n1","cluster":"00000000000000aa"}`, 0o600)
		}, bad, "identity", "belongs to the cluster of key 00000000000000aa"},
		{"a node that took itself out of service", func(t *testing.T, c *clinic) {
			if err := writeMarker(c.cfg.DataDir, marker{NodeID: "n1", Reason: "the table is damaged: page 7"}); err != nil {
				t.Fatal(err)
			}
		}, bad, "damage", "the table is damaged: page 7"},
		{"a damaged identity", func(t *testing.T, c *clinic) {
			write(t, filepath.Join(c.cfg.DataDir, "identity.json"), "\x00", 0o600)
		}, bad, "identity", "damaged"},
		{"a directory from the future", func(t *testing.T, c *clinic) {
			write(t, filepath.Join(c.cfg.DataDir, "identity.json"), `{"format":99}`, 0o600)
		}, bad, "identity", "newer version"},
		{"a disk below the mark", func(_ *testing.T, c *clinic) {
			c.space = func(string) (int64, int64, error) { return 100 << 20, 100 << 30, nil }
		}, bad, "disk", "100 MiB are free, below --disk-low-bytes (256 MiB)"},
		{"a disk that fills", func(_ *testing.T, c *clinic) {
			c.space = func(string) (int64, int64, error) { return 9 << 30, 100 << 30, nil }
		}, doubtful, "disk", "9216 of 102400 MiB"},
		{"no inodes", func(_ *testing.T, c *clinic) {
			c.inodes = func(string) (uint64, uint64, error) { return 3, 1000, nil }
		}, bad, "disk", "3 of 1000 inodes"},
		{"a slow disk", func(_ *testing.T, c *clinic) { slowly(c, 20*time.Millisecond) }, doubtful, "fsync", "durable after 20ms (median)"},
		{"a hopeless disk", func(_ *testing.T, c *clinic) { slowly(c, 200*time.Millisecond) }, bad, "fsync", "200ms (median), 200ms (99th percentile of 25)"},
		{"a broken disk", func(_ *testing.T, c *clinic) {
			c.syncData = func(*os.File) error { return errors.New("input/output error") }
		}, bad, "fsync", "input/output error"},
		{"keys that others may write", func(t *testing.T, c *clinic) {
			if err := os.Chmod(c.cfg.KeysFile, 0o666); err != nil {
				t.Fatal(err)
			}
		}, bad, "keys-file", "may add a key"},
		{"keys that do not parse", func(t *testing.T, c *clinic) { write(t, c.cfg.KeysFile, "{", 0o600) }, bad, "keys-file", "keys file"},
		{"no operator key", func(t *testing.T, c *clinic) {
			if err := auth.RevokeKey(c.cfg.KeysFile, "dev-operator"); err != nil {
				t.Fatal(err)
			}
		}, doubtful, "keys-file", "no operator key"},
		{"a certificate without its key", func(_ *testing.T, c *clinic) {
			c.cfg.TLSCert, c.cfg.TLSKey = c.cfg.KeysFile, c.cfg.KeysFile
		}, bad, "tls", "tls-cert and tls-key"},
		{"an issuer that cannot be reached", func(t *testing.T, c *clinic) {
			c.cfg.JWTJWKSFile, c.cfg.JWTJWKSURL = nil, []string{"http://" + deadAddr(t) + "/jwks.json"}
		}, bad, "logins", "cannot be had from"},
		{"a port in use", func(t *testing.T, c *clinic) { listen(t, c.cfg.ClusterAddr) }, bad, "ports", "cluster-addr"},
		{"an address of another machine", func(_ *testing.T, c *clinic) { c.cfg.GossipAddr = "192.0.2.7:7101" }, bad, "ports", "not an address of this machine"},
		{"nobody to join", func(t *testing.T, c *clinic) { c.cfg.Join = []string{deadAddr(t), c.cfg.GossipAddr} }, doubtful, "join", "nobody listens at"},
		{"a name that is none", func(_ *testing.T, c *clinic) { c.cfg.Join = []string{"nowhere.invalid:7101"} }, bad, "join", "nowhere.invalid"},
		{"few files", func(_ *testing.T, c *clinic) {
			c.fileLimit = func() (uint64, error) { return 1024, nil }
		}, bad, "open-files", "1024 may be open, --max-conns 8192 needs 8448"},
		{"a clock that nobody keeps", func(_ *testing.T, c *clinic) {
			c.clock = func() (bool, time.Duration, error) { return false, 0, nil }
		}, doubtful, "clock", "nothing keeps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			clinic := healthy(t)
			c.spoil(t, clinic)
			wantFinding(t, clinic.examine(t.Context()), c.level, c.what, c.says)
		})
	}
}

func TestDoctorReadsTheServersCertificate(t *testing.T) {
	node := httptest.NewTLSServer(nil)
	defer node.Close()
	pair := node.TLS.Certificates[0] // of example.com and 127.0.0.1
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	c := healthy(t)
	c.cfg.TLSCert, c.cfg.TLSKey = filepath.Join(c.cfg.DataDir, "cert.pem"), filepath.Join(c.cfg.DataDir, "key.pem")
	for path, block := range map[string]*pem.Block{
		c.cfg.TLSCert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, c.cfg.TLSKey: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.cfg.Hosts = []string{"example.com"}
	if found := c.certificate(); worst(found) != fine || !strings.Contains(found[0].text, "example.com") {
		t.Errorf("%+v", found)
	}
	c.cfg.Hosts = []string{"example.com", "other.test:443"}
	wantFinding(t, c.certificate(), doubtful, "tls", "is not good for other.test")
	if err := os.Chmod(c.cfg.TLSKey, 0o644); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, c.certificate(), doubtful, "tls", "may read the private key")
}

// wantFinding wants one finding of that kind, with something to do.
func wantFinding(t *testing.T, findings []finding, l level, what, says string) {
	t.Helper()
	for _, f := range findings {
		if f.level == l && f.what == what && strings.Contains(f.text, says) {
			if f.remedy == "" {
				t.Errorf("no remedy: %+v", f)
			}
			return
		}
	}
	t.Errorf("no %s %s with %q in:", levelWords[l], what, says)
	for _, f := range findings {
		t.Errorf("%s  %s  %s", levelWords[f.level], f.what, f.text)
	}
}

func TestDoctorLeavesNothingInTheDataDirectory(t *testing.T) {
	c := healthy(t)
	c.examine(t.Context())
	left, err := os.ReadDir(c.cfg.DataDir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	c.cfg.DataDir = filepath.Join(c.cfg.DataDir, "not", "yet")
	if worst(c.examine(t.Context())) != fine {
		t.Error("a data directory that the server will make is no fault")
	}
	if _, err := os.Stat(c.cfg.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}

func TestDoctorKnowsAServerThatRuns(t *testing.T) {
	c := healthy(t)
	ln, err := net.Listen("tcp", c.cfg.HTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	node := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Holdfast-Node", "n1")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	})}}
	node.Start()
	defer node.Close()
	cluster, err := net.Listen("tcp", c.cfg.ClusterAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	found := c.ports(t.Context())
	if len(found) != 1 || found[0].level != fine || !strings.Contains(found[0].text, "node n1 runs here") {
		t.Errorf("%+v", found)
	}
	c.cfg.NodeID = "n2"
	wantFinding(t, c.ports(t.Context()), bad, "ports", "node n1 serves at")
}

func TestDoctorKnowsAServerWhoseCertificateNobodyVouchesFor(t *testing.T) {
	c := healthy(t)
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Holdfast-Node", "n1")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	}))
	defer node.Close()
	c.cfg.HTTPAddr, c.cfg.TLSCert = node.Listener.Addr().String(), "cert.pem"
	if found := c.ports(t.Context()); len(found) != 1 || found[0].level != fine || !strings.Contains(found[0].text, "node n1 runs here") {
		t.Errorf("%+v", found)
	}
}

func TestDoctorFindsWhatGoesWrongInACluster(t *testing.T) {
	now := time.Now().UTC()
	member := func(id, state, zone string) api.Member {
		m := memberIn(id, state)
		m.Zone, m.FeatureLevel, m.StateHash, m.Clock = zone, 2, "9:aa", now.Format(time.RFC3339Nano)
		m.DiskFreeBytes, m.DiskSizeBytes = 50, 100
		return m
	}
	cluster := func() api.Status {
		s := clusterOf("n1", member("n1", "leader", "a"), member("n2", "follower", "b"), member("n3", "follower", "c"))
		s.FeatureLevel = 2
		return s
	}
	for _, f := range clusterFindings(cluster()) {
		if f.level != fine || f.remedy != "" {
			t.Errorf("a cluster that is well: %+v", f)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*api.Status)
		level level
		what  string
		says  string
	}{
		{"no leader", func(s *api.Status) { s.Leader = "" }, bad, "leader", "nothing can be written"},
		{"a member is down", func(s *api.Status) { s.Members[2] = memberIn("n3", stateDown) }, bad, "member", "n3 is down"},
		{"a member is unwell", func(s *api.Status) { s.Members[2].Healthy, s.Members[2].Detail = false, "9 entries behind" }, doubtful, "member", "9 entries behind"},
		{"nothing may be lost", func(s *api.Status) { s.FailureTolerance = 0 }, doubtful, "tolerance", "one more voter"},
		{"four voters", func(s *api.Status) { s.Members = append(s.Members, member("n4", "follower", "d")) }, doubtful, "voters", "there are 4"},
		{"a lag in entries", func(s *api.Status) { s.Members[1].Lag = 5000 }, doubtful, "lag", "n2 is 5000 entries"},
		{"a lag in time", func(s *api.Status) { s.Members[1].LagMS = 60_000 }, doubtful, "lag", "(1m0s) behind"},
		{"two versions", func(s *api.Status) { s.Members[1].Version = "v2" }, doubtful, "versions", "v1 on n1, n3; v2 on n2"},
		{"a level that does not rise", func(s *api.Status) { s.FeatureLevel = 1 }, doubtful, "versions", "know feature level 2, the cluster is at 1"},
		{"states that differ", func(s *api.Status) { s.Members[1].StateHash = "9:bb" }, bad, "state-hash", "aa on n1, n3; bb on n2"},
		{"keys that differ", func(s *api.Status) { s.Members[1].KeysDigest = "x" }, bad, "keys-file", "different files"},
		{"clocks apart", func(s *api.Status) { s.Members[1].Clock = now.Add(3 * time.Second).Format(time.RFC3339Nano) }, doubtful, "clocks", "n2 is 3s ahead of n1"},
		{"clocks far apart", func(s *api.Status) { s.Members[1].Clock = now.Add(-time.Hour).Format(time.RFC3339Nano) }, bad, "clocks", "ahead of n2"},
		{"all in one zone", func(s *api.Status) { s.Members[1].Zone, s.Members[2].Zone = "a", "a" }, doubtful, "zones", `3 of 3 voters are in zone "a"`},
		{"two of three in one zone", func(s *api.Status) { s.Members[2].Zone = "a" }, doubtful, "zones", `2 of 3 voters are in zone "a"`},
		{"a disk that fills", func(s *api.Status) { s.Members[2].DiskFreeBytes = 10 }, doubtful, "disk", "10 % of the disk of n3"},
		{"a full disk", func(s *api.Status) { s.Members[2].DiskFreeBytes = 1 }, bad, "disk", "1 % of the disk of n3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := cluster()
			c.spoil(&s)
			wantFinding(t, clusterFindings(s), c.level, c.what, c.says)
		})
	}
	// Hashes of different entries are of different states, which is no fault.
	s := cluster()
	s.Members[1].StateHash = "8:bb"
	if f := hashesFound(s); f.level != fine {
		t.Errorf("%+v", f)
	}
}

func TestDoctorReadsWhatNodesShow(t *testing.T) {
	for _, c := range []struct {
		name    string
		metrics string
		level   level
		what    string
		says    string
	}{
		{"a disk that gives way", "holdfast_disk_low 1\n", bad, "disk", "below --disk-low-bytes"},
		{"a table that is mostly empty", "holdfast_storage_file_bytes 1e9\nholdfast_storage_file_free_pages 200000\n", doubtful, "compact", "781 of 954 MiB"},
		{"two keys", "holdfast_cluster_key_info{key=\"aa\",use=\"first\"} 1\nholdfast_cluster_key_info{key=\"bb\",use=\"valid\"} 1\n", doubtful, "cluster-key", "2 keys are valid"},
		{"no archives", "process_open_fds 9\n", doubtful, "archives", "no node that was asked writes any"},
		{"old archives", seriesArchived + " 1e9\n", doubtful, "archives", "days old"},
		{"files that run out", "process_open_fds 900\nprocess_max_fds 1024\n", doubtful, "open-files", "900 files open of 1024"},
		{"a slow log", "# TYPE holdfast_cluster_log_append_duration_seconds histogram\nholdfast_cluster_log_append_duration_seconds_bucket{le=\"+Inf\"} 10\nholdfast_cluster_log_append_duration_seconds_sum 0.5\nholdfast_cluster_log_append_duration_seconds_count 10\n", doubtful, "fsync", "takes 50ms on average"},
		{"a certificate of the past", seriesHTTPCertificate + " 1e9\n", bad, "certificate", "the HTTP certificate of"},
		{"no metrics", "{", doubtful, "metrics", "not shown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := httptest.NewServer(shown{leads: true, metrics: c.metrics})
			defer node.Close()
			nodes := probe(t.Context(), []string{node.URL})
			wantFinding(t, nodeFindings(sight{nodes: nodes}, time.Now()), c.level, c.what, c.says)
		})
	}
}

func TestDoctorComparesTheClusterKeysOfTheMembers(t *testing.T) {
	one, two := memberIn("n1", "leader"), memberIn("n2", "follower")
	down := memberIn("n3", stateDown)
	one.ClusterKeys, two.ClusterKeys = []string{"aa"}, []string{"aa"}
	found := func() []finding {
		s := clusterOf("n1", one, two, down)
		return clusterKeysFound(sight{status: &s})
	}
	if got := found(); len(got) != 1 || got[0].level != fine {
		t.Errorf("%+v", got)
	}
	two.ClusterKeys = []string{"bb", "aa"}
	wantFinding(t, found(), doubtful, "cluster-key", "n1: aa; n2: bb, aa")
	one.ClusterKeys = two.ClusterKeys
	wantFinding(t, found(), doubtful, "cluster-key", "2 keys are valid")
}

func TestDoctorSeesThatAClockIsWrongInSpiteOfWholeSeconds(t *testing.T) {
	sent := time.Unix(1_700_000_000, 0)
	var right, wrong probed
	right.clock(sent.Add(-time.Second).UTC().Format(http.TimeFormat), sent, sent.Add(100*time.Millisecond))
	wrong.clock(sent.Add(10*time.Second).UTC().Format(http.TimeFormat), sent, sent.Add(100*time.Millisecond))
	if found := datesFound(sight{nodes: []probed{right}}); found != nil {
		t.Errorf("%+v", found)
	}
	wantFinding(t, datesFound(sight{nodes: []probed{right, wrong}}), doubtful, "clocks", "at least 10s")
}

// doctorOf runs the verb.
func doctorOf(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	code = p.main(context.WithoutCancel(t.Context()), append([]string{"doctor"}, args...))
	return code, stdout.String(), stderr.String()
}

func TestDoctorEndsWithOneIfSomethingIsAFailureAndPrintsNoSecret(t *testing.T) {
	node := httptest.NewServer(shown{leads: true, status: statusWith(wellMember)})
	defer node.Close()
	code, out, errs := doctorOf(t, "--addr", node.URL, "--key", "hfo_secret")
	if code != exitDone || !strings.Contains(out, "\n0 FAIL") && !strings.Contains(out, " 0 FAIL\n") {
		t.Error(code, out, errs)
	}
	code, out, errs = doctorOf(t, "--addr", node.URL+","+deadAddr(t), "--key", "hfo_secret", "-o", "json")
	var answer struct {
		OK       bool
		Findings []findingView
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.OK || len(answer.Findings) == 0 || code != exitFailed || errs != "" {
		t.Error(code, err, out, errs)
	}
	if strings.Contains(out, "hfo_secret") {
		t.Error("the key is printed")
	}
	code, out, _ = doctorOf(t, "--addr", node.URL, "--key", "hfo_wrong")
	if code != exitFailed || !strings.Contains(out, "FAIL  status") {
		t.Error(code, out)
	}
	c := healthy(t)
	if err := os.WriteFile(c.cfg.ClusterKeyFile, []byte(strings.Repeat("5", 63)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = doctorOf(t, "--cluster-key-file", c.cfg.ClusterKeyFile)
	if code != exitFailed || strings.Contains(out, "55555") {
		t.Error(code, out)
	}
	if code, _, errs = doctorOf(t); code != exitUsage || !strings.Contains(errs, "say where to look") {
		t.Error(code, errs)
	}
}
