package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExamineSaysWhoseADirectoryIsAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	const ours, theirs = "00000000000000aa", "00000000000000bb"
	if _, err := Examine(dir, "n1", []string{ours}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := claim(dir, "n1", []string{ours}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, identityFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node string
		keys []string
		want string
	}{
		{"n1", []string{ours}, ""},
		{"n1", []string{theirs, ours}, ""}, // a rotation is under way
		{"", nil, ""},
		{"n2", []string{ours}, `belongs to node "n1", this node is "n2"`},
		{"n1", []string{theirs}, "belongs to the cluster of key " + ours},
	} {
		got, err := Examine(dir, c.node, c.keys)
		if got.NodeID != "n1" || got.Key != ours {
			t.Errorf("%s with %v: %+v", c.node, c.keys, got)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v: %v, want %q", c.node, c.keys, err, c.want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"format":99,"node_id":"n1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Examine(dir, "n1", nil); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a directory from the future: %v", err)
	}
}
