package main

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary the holdfast of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": func() { os.Exit(realMain()) }})
}

// TestScripts runs the command line as a user would. The scripts are in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status, "mode": mode, "oneline": oneLineOf},
	})
}

// status runs a command and checks its exit code: status 2 holdfast server.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND…")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = string(rune('0' + exit.ExitCode()))
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// oneLineOf checks that the last command said one thing on stderr, one JSON object that matches: oneline REGEXP.
func oneLineOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oneline REGEXP")
	}
	said := ts.ReadFile("stderr")
	var entry struct{ Level, Error string }
	if err := json.Unmarshal([]byte(said), &entry); err != nil || entry.Level != "ERROR" {
		ts.Fatalf("not one line of JSON that is an error: %s", said)
	}
	if !regexp.MustCompile(args[0]).MatchString(entry.Error) {
		ts.Fatalf("%q does not match %s", entry.Error, args[0])
	}
}

// mode checks the permissions of files: mode 0600 FILE….
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL FILE…")
	}
	for _, name := range args[1:] {
		stat, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := "0" + octal(uint32(stat.Mode().Perm())); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

func octal(mode uint32) string {
	return string([]byte{'0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)})
}
