package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/holdfastdb/holdfast/api/auth"
)

// guideText is what dev prints: a session to paste into a shell. Comments in it hold no characters that zsh would read.
//
//go:embed devguide.txt
var guideText string

// guide fills in the addresses, the keys and a fresh login.
func (c *devCluster) guide(now time.Time) (string, error) {
	login, err := c.files.login(devUser, now)
	if err != nil {
		return "", err
	}
	service, err := c.files.readKey(auth.RoleService)
	if err != nil {
		return "", err
	}
	operator, err := c.files.readKey(auth.RoleOperator)
	if err != nil {
		return "", err
	}
	t, err := template.New("guide").Parse(guideText)
	if err != nil {
		return "", err
	}
	node := func(i int) string { return "http://" + c.nodes[min(i, len(c.nodes)-1)].httpAddr }
	var pids []string
	for _, n := range c.nodes {
		pids = append(pids, n.httpAddr+"="+n.id)
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"Login": login, "Service": service, "Operator": operator,
		"First": node(0), "Second": node(1), "Third": node(2), "Balancer": "http://" + loopback(c.flags.port),
		"Nodes": strings.Join(c.addrs(), ","), "Pids": strings.Join(pids, " "), "Survives": len(c.nodes) > 2,
		"Dir": shellQuote(c.files.dir), "DataDir": c.files.dir, "Program": programName(), "Pause": devRestartPause,
	})
	return strings.TrimRight(b.String(), "\n"), err
}

// programName is how the reader started this program.
func programName() string {
	name := os.Args[0]
	if !strings.Contains(name, string(filepath.Separator)) {
		return name
	}
	return shellQuote(name)
}

// shellQuote writes text as one word of a POSIX shell.
func shellQuote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
