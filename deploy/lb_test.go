package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The checkers of the balancers themselves. scripts/rolling runs each with its file.

func TestHAProxyTakesItsFileWithoutAWarning(t *testing.T) {
	tool(t, "haproxy", "-c", "-dW", "-f", "lb/haproxy.cfg")
}

func TestNginxTakesItsFile(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "nginx.conf")
	file, err := filepath.Abs("lb/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	// As Debian's own main file includes those of conf.d.
	text := strings.ReplaceAll("pid DIR/pid; error_log stderr; events {}\nhttp { client_body_temp_path DIR/b; proxy_temp_path DIR/p;\n"+
		"fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; include "+file+"; }\n", "DIR", dir)
	if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := tool(t, "nginx", "-t", "-p", dir, "-c", main, "-e", "stderr"); strings.Contains(said, "[warn]") {
		t.Errorf("nginx: %s", said)
	}
}

func TestCaddyTakesItsFile(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	tool(t, "caddy", "adapt", "--adapter", "caddyfile", "--config", "lb/Caddyfile", "--validate")
}

// nginx finds out by itself only: its idle connections must be gone before a node that drains closes them.
func TestBalancersTurnAwayBeforeANodeStops(t *testing.T) {
	wait, err := time.ParseDuration(serverFlags(t)["drain-wait"])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		file, setting string
		most          time.Duration
	}{
		{"lb/nginx.conf", `(?m)^\s*keepalive_timeout (\S+);`, wait - 500*time.Millisecond},
		{"lb/Caddyfile", `(?m)^\s*health_interval (\S+)`, wait / 4},
		{"lb/haproxy.cfg", `(?m)^\s*default-server check inter (\S+)`, wait / 4},
	} {
		m := regexp.MustCompile(test.setting).FindStringSubmatch(read(t, test.file))
		if m == nil {
			t.Fatalf("%s has no %s", test.file, test.setting)
		}
		if got, err := time.ParseDuration(m[1]); err != nil || got > test.most {
			t.Errorf("%s: %s, want at most %s with a drain-wait of %s", test.file, m[0], test.most, wait)
		}
	}
}
