package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// parsed is a server's configuration from the three places.
func parsed(t *testing.T, file string, environ []string, args ...string) (Config, []string) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "holdfast.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	cfg, flags := Config{}, pflag.NewFlagSet("server", pflag.ContinueOnError)
	cfg.flags(flags)
	rest, faults := parse(flags, args, environ)
	if len(rest) > 0 {
		t.Errorf("unexpected arguments %q", rest)
	}
	if len(faults) == 0 {
		return cfg, nil
	}
	return cfg, strings.Split(errors.Join(faults...).Error(), "\n")
}

func TestFlagsWinOverTheEnvironmentWhichWinsOverTheFile(t *testing.T) {
	file := "node-id: from-file\nzone: from-file\nhttp-addr: ':1'\njoin: [a:1, b:2]\nmax-staleness: 7s\nbootstrap-expect: 3\ninsecure-cookies: true\n"
	environ := []string{"HOLDFAST_NODE_ID=from-env", "HOLDFAST_ZONE=from-env", "HOLDFAST_PORT=tcp://10.0.0.1:80", "HOLDFAST_JOIN=", "PATH=/bin"}
	cfg, faults := parsed(t, file, environ, "--node-id", "from-flag", "--idle-timeout=30m")
	if faults != nil {
		t.Fatal(faults)
	}
	want := Config{
		NodeID: "from-flag", Zone: "from-env", HTTPAddr: ":1", Join: []string{"a:1", "b:2"}, MaxStaleness: 7 * time.Second,
		BootstrapExpect: 3, InsecureCookies: true, IdleTimeout: 30 * time.Minute, AbsoluteTimeout: 24 * time.Hour,
	}
	got := Config{
		NodeID: cfg.NodeID, Zone: cfg.Zone, HTTPAddr: cfg.HTTPAddr, Join: cfg.Join, MaxStaleness: cfg.MaxStaleness,
		BootstrapExpect: cfg.BootstrapExpect, InsecureCookies: cfg.InsecureCookies, IdleTimeout: cfg.IdleTimeout,
		AbsoluteTimeout: cfg.AbsoluteTimeout,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListsAreWrittenWithCommasEverywhere(t *testing.T) {
	for name, args := range map[string]struct {
		file    string
		environ []string
		args    []string
	}{
		"flag":         {args: []string{"--join", "a:1,b:2"}},
		"two flags":    {args: []string{"--join", "a:1", "--join=b:2"}},
		"environment":  {environ: []string{"HOLDFAST_JOIN=a:1,b:2"}},
		"file, a text": {file: "join: a:1,b:2\n"},
		"file, a list": {file: "join:\n  - a:1\n  - b:2\n"},
	} {
		cfg, faults := parsed(t, args.file, args.environ, args.args...)
		if diff := cmp.Diff([]string{"a:1", "b:2"}, cfg.Join); diff != "" || faults != nil {
			t.Errorf("%s: %v %s", name, faults, diff)
		}
	}
}

func TestEveryFaultOfTheThreePlacesIsNamed(t *testing.T) {
	file := "node-idd: n1\nmax-staleness: 5\nzone:\njoin: {a: b}\nhelp: true\nconfig: x\n"
	_, faults := parsed(t, file, []string{"HOLDFAST_RAFT_MULTIPLIER=many"}, "--nodeid=n1", "-x", "1", "--bootstrap-expect", "three", "--tls-cert")
	for _, want := range []string{
		"unknown flag --nodeid", "unknown flag -x", `--bootstrap-expect: "three" is no int`, "--tls-cert: wants a value",
		`HOLDFAST_RAFT_MULTIPLIER: "many" is no int`,
		`unknown key "node-idd"`, `unknown key "help"`, `unknown key "config"`, `unknown key "join.a"`,
		`max-staleness in `, "zone in ", "join in ",
	} {
		found := 0
		for _, fault := range faults {
			if strings.Contains(fault, want) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%q is named %d times in %q", want, found, faults)
		}
	}
	if len(faults) != 12 {
		t.Errorf("%d faults: %q", len(faults), faults)
	}
}

func TestAFileThatCannotBeReadIsAFault(t *testing.T) {
	if _, faults := parsed(t, "", nil, "--config", filepath.Join(t.TempDir(), "none.yaml")); len(faults) != 1 || !strings.Contains(faults[0], "no such file") {
		t.Errorf("missing file: %q", faults)
	}
	if _, faults := parsed(t, "node-id: [", nil); len(faults) == 0 {
		t.Error("a file that is no YAML is taken")
	}
	if _, faults := parsed(t, "node-id: a\nnode-id: b\n", nil); len(faults) == 0 {
		t.Error("a key that is there twice is taken")
	}
}

func TestArgumentsAfterTwoDashesAreNoFlags(t *testing.T) {
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	output := flags.StringP("output", "o", "", "")
	rest, faults := parse(flags, []string{"a", "-o", "json", "-", "--", "--b", "-o"}, nil)
	if diff := cmp.Diff([]string{"a", "-", "--b", "-o"}, rest); diff != "" || faults != nil || *output != "json" {
		t.Errorf("%v %q %s", faults, *output, diff)
	}
}
