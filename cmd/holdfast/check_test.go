package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shown is what a node shows to check and doctor.
type shown struct {
	notReady, leads bool
	metrics         string
	status          string // of /cluster/status; "" is a node that does not let anybody in
}

func (s shown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch r.URL.Path {
	case "/livez":
		answer(200, `{"status":"ok"}`)
	case "/readyz":
		if s.notReady {
			answer(503, `{"code":"stale_node","checks":[{"name":"draining","ok":true},{"name":"fresh","ok":false,"detail":"last proof | is 7s old"}]}`)
			return
		}
		answer(200, `{"status":"ok","checks":[{"name":"fresh","ok":true}]}`)
	case "/leaderz":
		if s.leads {
			answer(200, "{}")
			return
		}
		answer(429, "{}")
	case "/metrics":
		answer(200, s.metrics)
	case "/cluster/status":
		if s.status == "" || r.Header.Get("Authorization") != "Bearer hfo_secret" {
			answer(401, `{"code":"key_invalid","detail":"This key is not known."}`)
			return
		}
		answer(200, s.status)
	}
}

// plugin runs holdfast check against nodes that show so much.
func plugin(t *testing.T, key string, args []string, nodes ...http.Handler) (code int, line string) {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		if n == nil {
			addrs = append(addrs, deadAddr(t))
			continue
		}
		node := httptest.NewServer(n)
		t.Cleanup(node.Close)
		addrs = append(addrs, node.URL)
	}
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs}
	args = append([]string{"check", "--addr", strings.Join(addrs, ",")}, args...)
	if key != "" {
		args = append(args, "--key", key)
	}
	code = p.main(t.Context(), args)
	if errs.Len() > 0 {
		t.Errorf("on stderr, which no monitoring reads: %s", &errs)
	}
	if strings.Contains(out.String(), "hfo_") {
		t.Errorf("the key is printed: %s", &out)
	}
	return code, out.String()
}

// pluginLine is the form of the guidelines: one line of text, then figures.
var pluginForm = regexp.MustCompile(`^HOLDFAST (OK|WARNING|CRITICAL|UNKNOWN): [^|\n]+( \|( [a-z_]+=-?[0-9.]+(s|%)?;[~0-9.:-]*;[~0-9.:-]*;0)+)?\n$`)

const wellMetrics = `# TYPE holdfast_cluster_failure_tolerance gauge
holdfast_cluster_failure_tolerance 1
# TYPE holdfast_cluster_member_lag_entries gauge
holdfast_cluster_member_lag_entries{node="n2"} 3
holdfast_cluster_member_lag_entries{node="n3"} 7
# TYPE holdfast_cluster_freshness_age_seconds gauge
holdfast_cluster_freshness_age_seconds 0.125
# TYPE holdfast_disk_free_bytes gauge
holdfast_disk_free_bytes 6e+09
# TYPE holdfast_disk_size_bytes gauge
holdfast_disk_size_bytes 1e+10
`

func statusWith(member string) string {
	return `{"cluster":"00000000000000aa","leader":"n1","term":7,"healthy":true,"failure_tolerance":1,"members":[
{"id":"n1","voter":true,"state":"leader","last_contact_ms":12,"healthy":true},{"id":"n2","voter":true,"state":"follower","last_contact_ms":14,"healthy":true},` + member + `]}`
}

const wellMember = `{"id":"n3","voter":true,"state":"follower","last_contact_ms":11,"lag":2,"healthy":true}`

func TestCheckIsAMonitoringPlugin(t *testing.T) {
	leader, follower := shown{leads: true, metrics: wellMetrics}, shown{}
	soon := fmt.Sprintf("# TYPE %s gauge\n%s %d\n", seriesCertificate, seriesCertificate, time.Now().Add(24*time.Hour).Unix())
	const key = "hfo_secret"
	for _, c := range []struct {
		name  string
		key   string
		args  []string
		nodes []http.Handler
		code  int
		want  []string
	}{
		{"three nodes that are well", "", nil, []http.Handler{follower, leader, follower}, 0, []string{"HOLDFAST OK: 3 nodes well", "leads", "survives the loss of 1 more node", "nodes=3;;;0 down=0;~:0;~:1;0 tolerance=1;1:;0:;0 lag=7;~:999;~:99999;0 fresh=0.125s;~:2;~:5;0", "disk_free=60%;20:;10:;0"}},
		{"one follower alone", "", nil, []http.Handler{follower}, 0, []string{"OK: 1 node well"}},
		{"one of three is gone", "", nil, []http.Handler{leader, follower, nil}, 1, []string{"WARNING", "does not answer", "down=1;"}},
		{"one may be gone", "", []string{"--warn-down", "2"}, []http.Handler{leader, follower, nil}, 0, []string{"OK: 2 of 3 nodes well", "down=1;~:1;~:1;0"}},
		{"two of three are gone", "", nil, []http.Handler{follower, nil, nil}, 2, []string{"CRITICAL"}},
		{"the only one is gone", "", nil, []http.Handler{nil}, 2, []string{"CRITICAL", "does not answer"}},
		{"the only one is not ready", "", nil, []http.Handler{shown{notReady: true}}, 2, []string{"is not ready (fresh: last proof / is 7s old)"}},
		{"the leader says that none may be lost", "", nil, []http.Handler{shown{leads: true, metrics: "holdfast_cluster_failure_tolerance 0\n"}}, 1, []string{"WARNING: survives the loss of 0 more nodes"}},
		{"a disk is filling", "", nil, []http.Handler{shown{leads: true, metrics: "holdfast_disk_free_bytes 15\nholdfast_disk_size_bytes 100\n"}}, 1, []string{"15 % of the disk"}},
		{"a disk is nearly full", "", nil, []http.Handler{shown{leads: true, metrics: "holdfast_disk_free_bytes 5\nholdfast_disk_size_bytes 100\n"}}, 2, []string{"5 % of the disk", "disk_free=5%"}},
		{"a certificate ends", "", nil, []http.Handler{shown{leads: true, metrics: soon}}, 2, []string{"CRITICAL", "certificate between nodes", "24h"}},
		{"metrics that break off are none", "", nil, []http.Handler{shown{leads: true, metrics: wellMetrics + "holdfast_disk_free_bytes{"}}, 0, []string{"OK: 1 node well; "}},
		{"a node that was not fresh for long", "", []string{"--warn-fresh", "10ms", "--crit-fresh", "1m"}, []http.Handler{leader}, 1, []string{"was last proved fresh 125ms ago"}},
		{"the whole cluster", key, nil, []http.Handler{shown{status: statusWith(wellMember)}}, 0, []string{"OK: 3 nodes well; n1 leads; survives the loss of 1 more node", "nodes=3"}},
		{"a member is down", key, nil, []http.Handler{shown{status: statusWith(`{"id":"n3","voter":true,"state":"down","last_contact_ms":-1,"detail":"does not answer"}`)}}, 1, []string{"WARNING: n3 does not answer", "down=1"}},
		{"a member lags", key, nil, []http.Handler{shown{status: statusWith(`{"id":"n3","voter":true,"state":"follower","lag":200000,"healthy":true}`)}}, 2, []string{"CRITICAL: n3 is 200000 entries behind"}},
		{"no leader", key, nil, []http.Handler{shown{status: strings.Replace(statusWith(wellMember), `"leader":"n1"`, `"leader":""`, 1)}}, 2, []string{"there is no leader"}},
		{"a name that would break the line", key, nil, []http.Handler{shown{status: statusWith(`{"id":"a|b\nc","state":"down","detail":"x"}`)}}, 1, []string{"a/b c x"}},
		{"a key that is refused", "hfo_wrong", nil, []http.Handler{shown{status: statusWith(wellMember)}}, 3, []string{"UNKNOWN", "401 key_invalid"}},
		{"a key that is refused, and a node that is gone", "hfo_wrong", nil, []http.Handler{follower, nil}, 1, []string{"WARNING", "401 key_invalid"}},
		{"wrong usage", "", []string{"--warn-lag", "x", "--crit-disk", "50", "--no"}, []http.Handler{leader}, 3, []string{"UNKNOWN", "unknown flag --no", `--warn-lag: "x" is no int`, "crit-disk 50: would come before warn-disk 20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, line := plugin(t, c.key, c.args, c.nodes...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !pluginForm.MatchString(line) {
				t.Errorf("no line of a plugin: %q", line)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q is not in %q", want, line)
				}
			}
		})
	}
}

// A node that takes the connection and says nothing is a node that is down, and must not keep the others from being heard.
func TestCheckLiveAsksForNoQuorum(t *testing.T) {
	lonely := shown{notReady: true}
	if code, line := plugin(t, "", []string{"--live"}, lonely); code != pluginOK || !strings.Contains(line, "is alive") {
		t.Errorf("a node without a quorum: %d %q", code, line)
	}
	for name, dead := range map[string]http.Handler{"nobody": nil, "something else": http.NotFoundHandler()} {
		if code, line := plugin(t, "", []string{"--live"}, lonely, dead); code != pluginCritical || !strings.Contains(line, "/livez") {
			t.Errorf("%s: %d %q", name, code, line)
		}
	}
}

func TestCheckEndsInTimeWhenANodeHangs(t *testing.T) {
	released := make(chan struct{})
	hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(released) })
	code, line := plugin(t, "hfo_secret", []string{"--timeout", "2s"}, hanging, shown{status: statusWith(wellMember)})
	if code != pluginWarning || !strings.Contains(line, "does not answer") || !strings.Contains(line, "tolerance=1") {
		t.Error(code, line)
	}
}

func TestTheCertificateOfAnHTTPSNodeIsLookedAt(t *testing.T) {
	node := httptest.NewTLSServer(shown{leads: true})
	t.Cleanup(node.Close)
	got := probe(t.Context(), []string{node.URL})[0]
	// Nobody vouches for the test server's certificate: a client would not talk to it either.
	if got.fault == nil || !strings.Contains(got.fault.Error(), "certificate") {
		t.Fatalf("%+v", got)
	}
	s := sight{nodes: []probed{{addr: "a", tlsUntil: time.Unix(1000, 0)}, {addr: "b", tlsUntil: time.Unix(900, 0)}}}
	if left, whose, ok := s.certificate(time.Unix(800, 0)); !ok || left != 100*time.Second || !strings.Contains(whose, "of b") {
		t.Error(left, whose, ok)
	}
}
