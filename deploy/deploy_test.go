package deploy

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/holdfastdb/holdfast/scripts/harness"
	"github.com/holdfastdb/holdfast/scripts/harness/needed"
)

// binary is the program as the image has it.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = harness.Build(context.Background(), dir, "CGO_ENABLED=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// holdfast runs a verb to its end, with only these variables in its environment.
func holdfast(t *testing.T, environ []string, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = append([]string{"PATH=" + os.Getenv("PATH")}, environ...), t.TempDir()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("holdfast %v: %v, %v\n%s", args, err, ctx.Err(), out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// serverFlags are the flags of `holdfast server` with their defaults, as its help shows them.
func serverFlags(t *testing.T) map[string]string {
	t.Helper()
	_, help := holdfast(t, nil, "server", "--help")
	flags := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\s+--([a-z0-9-]+)\s.*?(?:\(default "?([^")]*)"?\))?$`).FindAllStringSubmatch(help, -1) {
		flags[m[1]] = m[2]
	}
	if len(flags) < 40 || flags["drain-wait"] == "" {
		t.Fatalf("%d flags were found in:\n%s", len(flags), help)
	}
	return flags
}

func variable(flag string) string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// stopTime is the longest that a node takes to stop, by its settings: the wait for the balancer, two bounded steps, and
// the closing of the files, which is given up after twice the disk's timeout.
func stopTime(t *testing.T, settings map[string]string) time.Duration {
	t.Helper()
	defaults := serverFlags(t)
	of := func(flag string) time.Duration {
		text := settings[variable(flag)]
		if text == "" {
			text = defaults[flag]
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", flag, err)
		}
		return d
	}
	return of("drain-wait") + 2*of("drain-timeout") + 2*of("disk-timeout")
}

// accepted has the binary take settings in as far as the first file that is not here: it names no wrong usage.
func accepted(t *testing.T, settings map[string]string, args ...string) {
	t.Helper()
	var environ []string
	for name, value := range settings {
		environ = append(environ, name+"="+value)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	args = append(append([]string{"server"}, args...),
		"--http-addr", "127.0.0.1:0", "--data-dir", missing, "--cluster-key-file", missing, "--keys-file", missing)
	if code, output := holdfast(t, environ, args...); code != 1 || !strings.Contains(output, "missing") {
		t.Errorf("exit code %d, want 1 because of a missing file:\n%s", code, output)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// readYAML reads a file of one document, in which no unknown field of the test's own types is an error.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// tool runs a checker that is installed and shows what it said if it is not content.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), needed.Program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestEveryVariableInAFileIsOneOfTheServerOrOfABalancer(t *testing.T) {
	known := make(map[string]bool)
	for flag := range serverFlags(t) {
		known[variable(flag)] = true
	}
	mentioned := regexp.MustCompile(`HOLDFAST_[A-Z0-9_]+`)
	for _, name := range mentioned.FindAllString(read(t, "lb/haproxy.cfg")+read(t, "lb/Caddyfile"), -1) {
		known[name] = true
	}
	for _, client := range []string{"HOLDFAST_ADDR", "HOLDFAST_KEY"} { // of the verbs that ask a server
		known[client] = true
	}
	files, found := 0, 0
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		files++
		for _, name := range mentioned.FindAllString(read(t, path), -1) {
			if found++; !known[name] {
				t.Errorf("%s: %s is no flag of the server", path, name)
			}
		}
		return nil
	})
	if err != nil || files < 15 || found < 50 {
		t.Errorf("%d variables in %d files: %v", found, files, err)
	}
}

func TestTheBinaryOfTheImageIsStatic(t *testing.T) {
	program, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %v: it needs a loader that an empty image lacks", segment.Type)
		}
	}
}
