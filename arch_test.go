// Package holdfast holds nothing but the test of its own shape.
package holdfast

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfastdb/holdfast/"

// arrows are all imports of ours that a part may have. A part is a top-level
// folder with all below it; within itself it may import as it likes.
var arrows = map[string][]string{
	"session":  nil,
	"storage":  nil,
	"snapshot": nil,
	"cluster":  nil,
	"fsm":      {"session", "storage", "snapshot"},
	"api":      {"session"},
	"client":   {"session"},
	"cmd":      {"session", "storage", "snapshot", "cluster", "fsm", "api", "client", "scripts"},
	"scripts":  {"client"},
	"deploy":   {"scripts"},
}

// The libraries that replicate, and what alone may import them.
var replication = []string{
	"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb", "github.com/hashicorp/memberlist",
	"github.com/hashicorp/raft-autopilot",
}

// unreachable says what a part must not reach, not even through others, and why.
var unreachable = []struct {
	part, library, why string
}{
	{"session", "net/http", "the domain does not know how it is asked"},
	{"storage", "net/http", "the disk does not know how it is asked"},
	{"fsm", "net/http", "commands are not HTTP requests"},
	{"storage", "github.com/hashicorp/raft", "the table must work behind any log"},
	{"fsm", "github.com/hashicorp/raft", "the machine must work behind any log"},
	{"api", "github.com/hashicorp/raft", "no handler mentions a leader"},
	{"cluster", "go.opentelemetry.io", "spans are taken through an interface: see docs/decisions/0037"},
	{"api", "go.opentelemetry.io", "spans are taken through an interface: see docs/decisions/0037"},
	{"cmd", "google.golang.org/grpc", "half the program would be for sending spans: see docs/decisions/0037"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func packages(t *testing.T) []listed {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps,Standard", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// part returns the top-level folder of one of our packages, "" for others.
func part(path string) string {
	rest, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	top, _, _ := strings.Cut(rest, "/")
	return top
}

func within(library, path string) bool {
	return path == library || strings.HasPrefix(path, library+"/")
}

func TestEveryImportFollowsAnArrow(t *testing.T) {
	for _, p := range packages(t) {
		from := part(p.ImportPath)
		if from == "" {
			continue
		}
		allowed, known := arrows[from]
		if !known {
			t.Errorf("%s: the folder %q has no place in the house: add its arrows here, and why to docs/decisions", p.ImportPath, from)
		}
		for _, i := range p.Imports {
			if to := part(i); to != "" && to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: there is no arrow from %s to %s", p.ImportPath, i, from, to)
			}
		}
	}
}

func TestOnlyClusterReplicates(t *testing.T) {
	for _, p := range packages(t) {
		// scripts/bench measures one append to the log's own store as its yardstick.
		if from := part(p.ImportPath); from == "cluster" || from == "scripts" || from == "" {
			continue
		}
		for _, i := range p.Imports {
			for _, library := range replication {
				if within(library, i) {
					t.Errorf("%s imports %s: cluster is its only importer", p.ImportPath, i)
				}
			}
		}
	}
}

func TestNoPartReachesWhatItMustNotKnow(t *testing.T) {
	for _, p := range packages(t) {
		for _, u := range unreachable {
			if part(p.ImportPath) != u.part {
				continue
			}
			for _, d := range p.Deps {
				if within(u.library, d) {
					t.Errorf("%s reaches %s: %s", p.ImportPath, d, u.why)
				}
			}
		}
	}
}

func TestTheDomainIsStandardLibraryAlone(t *testing.T) {
	for _, p := range packages(t) {
		if part(p.ImportPath) != "session" {
			continue
		}
		for _, i := range p.Imports {
			if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	commented := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		commented[dir] = commented[dir] || file.Doc != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, has := range commented {
		if !has {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// Time and chance enter the replicated state with a command, or two nodes
// compute two states from one log.
func TestTheStateKnowsNoClockAndNoChance(t *testing.T) {
	for _, dir := range []string{"session", "snapshot", "fsm"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, banned := range []string{"time.Now(", "time.Since(", `"math/rand`, `"crypto/rand"`} {
				if bytes.Contains(source, []byte(banned)) {
					t.Errorf("%s uses %s", file, banned)
				}
			}
		}
	}
}

func TestInstallingNeedsNoReplaceAndNoExclude(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		for _, word := range []string{"replace", "exclude"} {
			if strings.HasPrefix(line, word) {
				t.Errorf("go.mod: %q breaks go install …@version", strings.TrimSpace(line))
			}
		}
	}
}
