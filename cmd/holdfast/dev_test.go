package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfastdb/holdfast/api/auth"
	"github.com/holdfastdb/holdfast/cluster/pki"
)

func TestDevFilesAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dev")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	before := make(map[string]string)
	for range 2 {
		files, err := openDevFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{files.clusterKey(), files.keys(), files.key(auth.RoleService), files.key(auth.RoleOperator), files.loginKey(), files.jwks()} {
			stat, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if stat.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, stat.Mode())
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if old, seen := before[path]; seen && old != string(raw) {
				t.Errorf("%s has changed", path)
			}
			before[path] = string(raw)
		}
		if _, err := pki.ParseKeyFile(files.clusterKey()); err != nil {
			t.Error(err)
		}
	}
	if stat, err := os.Stat(dir); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v %v", stat, err)
	}
}

func TestALostKeyIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	files, err := openDevFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := files.readKey(auth.RoleService)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files.key(auth.RoleService)); err != nil {
		t.Fatal(err)
	}
	if _, err := openDevFiles(dir); err != nil {
		t.Fatal(err)
	}
	found, err := files.readKey(auth.RoleService)
	if err != nil || found == lost {
		t.Fatal(found == lost, err)
	}
	keys, err := auth.OpenKeys(files.keys())
	if err != nil {
		t.Fatal(err)
	}
	if _, known := keys.Find(found); !known {
		t.Error("the new key is not in the file")
	}
	if _, known := keys.Find(lost); known {
		t.Error("the lost key still is")
	}
}

func TestAServerAcceptsADevLogin(t *testing.T) {
	files, err := openDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	logins, err := auth.OpenLogins(auth.LoginConfig{Issuers: []auth.Issuer{{Issuer: devIssuer, Audiences: []string{devAudience}, JWKSFile: files.jwks()}}})
	if err != nil {
		t.Fatal(err)
	}
	defer logins.Close()
	text, err := files.login("dev|grace", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	login, err := logins.Verify(t.Context(), text)
	if err != nil || login.UserID != "dev|grace" {
		t.Error(login, err)
	}
	token, _, err := jwt.NewParser().ParseUnverified(text, jwt.MapClaims{})
	if err != nil || token.Header["alg"] != "EdDSA" {
		t.Error(token, err)
	}
}

func devClusterIn(t *testing.T, dir string, nodes int) *devCluster {
	t.Helper()
	files, err := openDevFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &devCluster{flags: &devFlags{nodes: nodes, port: devPort}, files: files}
	for i := range nodes {
		c.nodes = append(c.nodes, newDevNode(c, "holdfast", i))
	}
	return c
}

func TestDevGivesItsServersFlagsWithoutFault(t *testing.T) {
	c := devClusterIn(t, t.TempDir(), 3)
	for i, n := range c.nodes {
		cfg, faults := parsed(t, "", nil, n.args[1:]...)
		if faults != nil || cfg.Validate() != nil {
			t.Fatal(faults, cfg.Validate())
		}
		if want := []string{"127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"}[i]; cfg.HTTPAddr != want {
			t.Errorf("node %d listens on %s", i, cfg.HTTPAddr)
		}
		if want := []string{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"}[i]; cfg.ClusterAddr != want {
			t.Errorf("node %d has cluster address %s", i, cfg.ClusterAddr)
		}
	}
}

func TestTheGuideIsShell(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		c := devClusterIn(t, filepath.Join(t.TempDir(), "it's a dir"), nodes)
		guide, err := c.guide(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(guide, "<no value>") || strings.Contains(guide, "{{") {
			t.Error(guide)
		}
		if got := strings.Contains(guide, "kill -9"); got != (nodes == 3) {
			t.Errorf("%d nodes: kill -9 is in the guide: %v", nodes, got)
		}
		_, session, _ := strings.Cut(guide, "another shell:\n")
		session, _, _ = strings.Cut(session, "\nCtrl-C")
		shell, err := exec.LookPath("sh")
		if err != nil {
			t.Skip("no shell here")
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(session)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}
