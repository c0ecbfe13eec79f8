package deploy

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unit reads the settings of a unit file, the last of each name.
func unit(t *testing.T) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for line := range strings.Lines(read(t, "systemd/holdfast.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	return settings
}

// variables reads a file of NAME=value lines, commented examples included if they are wanted.
func variables(t *testing.T, file string, examples bool) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for line := range strings.Lines(read(t, file)) {
		if line = strings.TrimSpace(line); examples {
			line = strings.TrimPrefix(line, "#")
		}
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "HOLDFAST_") {
			settings[name] = value
		}
	}
	return settings
}

func TestSystemdTakesTheUnit(t *testing.T) {
	const exposureAtMost = "15" // tenths; a unit without any hardening has 96
	file := filepath.Join(t.TempDir(), "holdfast.service")
	text := strings.Replace(read(t, "systemd/holdfast.service"), "/usr/local/bin/holdfast", binary, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := tool(t, "systemd-analyze", "verify", "--man=no", file); strings.Contains(said, "holdfast.service") {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	tool(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+exposureAtMost, file)
}

func TestTheUnitWaitsForADrainAndWatchesANodeThatIsAlone(t *testing.T) {
	u := unit(t)
	for name, want := range map[string]string{
		"Type": "notify", "Restart": "on-failure", "RestartPreventExitStatus": "2", "StartLimitIntervalSec": "0",
		// READY=1 takes a quorum: a limit on the start would end nodes that wait for it.
		"TimeoutStartSec": "infinity",
	} {
		if u[name] != want {
			t.Errorf("%s=%s, want %s", name, u[name], want)
		}
	}
	settings := variables(t, "systemd/holdfast.env", false)
	if stop, err := time.ParseDuration(u["TimeoutStopSec"]); err != nil || stop < stopTime(t, settings) {
		t.Errorf("TimeoutStopSec=%s, a node may take %s", u["TimeoutStopSec"], stopTime(t, settings))
	}
	if watchdog, err := time.ParseDuration(u["WatchdogSec"]); err != nil || watchdog < 15*time.Second {
		t.Errorf("WatchdogSec=%s is no time for a busy machine", u["WatchdogSec"])
	}
	flags := serverFlags(t)
	conns, _ := strconv.Atoi(flags["max-conns"])
	streams, _ := strconv.Atoi(flags["max-streams"])
	if files, err := strconv.Atoi(u["LimitNOFILE"]); err != nil || conns == 0 || streams == 0 || files < 2*(conns+streams) {
		t.Errorf("LimitNOFILE=%s for %d connections and %d streams", u["LimitNOFILE"], conns, streams)
	}
	if u["Environment"] != "HOLDFAST_DATA_DIR=/var/lib/"+u["StateDirectory"] {
		t.Errorf("Environment=%s, StateDirectory=%s", u["Environment"], u["StateDirectory"])
	}
}

func TestTheServerTakesTheSettingsOfTheUnit(t *testing.T) {
	accepted(t, variables(t, "systemd/holdfast.env", false))
	accepted(t, variables(t, "systemd/holdfast.env", true))
}

func TestTheAccountAndTheDirectoryAreMade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: files of another account are made by root alone")
	}
	root := t.TempDir()
	for _, dir := range []string{"etc", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"usr/lib/sysusers.d/holdfast.conf": read(t, "systemd/holdfast.sysusers.conf"),
		"usr/lib/tmpfiles.d/holdfast.conf": read(t, "systemd/holdfast.tmpfiles.conf"),
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "systemd-sysusers", "--root="+root)
	tool(t, "systemd-tmpfiles", "--create", "--root="+root)
	if passwd := read(t, filepath.Join(root, "etc/passwd")); !strings.Contains(passwd, "holdfast:") {
		t.Errorf("no account:\n%s", passwd)
	}
	if stat, err := os.Stat(filepath.Join(root, "etc/holdfast")); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("/etc/holdfast: %v, %v", stat, err)
	}
}
