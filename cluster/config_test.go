package cluster

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestValidateNamesEveryFaultAtOnce(t *testing.T) {
	err := Config{
		NodeID: "a b", ClusterAddr: "nowhere", GossipAddr: "127.0.0.1:7101", Join: []string{"x"},
		BootstrapExpect: -1, MaxStaleness: time.Millisecond, RaftMultiplier: 99, Role: "king",
	}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"node-id", "data-dir", "cluster-addr", "join", "cluster-key-file", "bootstrap-expect", "max-staleness", "raft-multiplier", "role"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not named in %q", flag, err)
		}
	}
}

func TestTheLibrarysConfigurationIsValidAtEveryMultiplier(t *testing.T) {
	for m := 1; m <= 20; m++ {
		c := Config{NodeID: "a", RaftMultiplier: m}.withDefaults().raftConfig(nil)
		if err := raft.ValidateConfig(c); err != nil {
			t.Errorf("%d: %v", m, err)
		}
		if c.HeartbeatTimeout != time.Duration(m)*400*time.Millisecond || c.CommitTimeout != 10*time.Millisecond || !c.NoSnapshotRestoreOnStart {
			t.Errorf("%d: %+v", m, c)
		}
	}
}

func TestADataDirectoryBelongsToOneNodeAndOneCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	steps := []struct {
		name, node string
		keys       []string
		refusal    string
	}{
		{"first", "a", []string{"k1"}, ""},
		{"again", "a", []string{"k1"}, ""},
		{"another node", "b", []string{"k1"}, `belongs to node "a"`},
		{"another key", "a", []string{"k2"}, "cluster of key k1"},
		{"rotation begins", "a", []string{"k2", "k1"}, ""},
		{"rotation has ended", "a", []string{"k2"}, ""},
		{"the old key", "a", []string{"k1"}, "cluster of key k2"},
	}
	for _, s := range steps {
		_, err := claim(dir, s.node, s.keys)
		if s.refusal == "" && err != nil || s.refusal != "" && (err == nil || !strings.Contains(err.Error(), s.refusal)) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	newer, _ := json.Marshal(identity{Format: identityFormat + 1, NodeID: "a", Cluster: "k2"})
	for content, refusal := range map[string]string{string(newer): "newer version", "{": "damaged", "{}": "damaged"} {
		if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := claim(dir, "a", []string{"k2"}); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func FuzzDecodeIdentity(f *testing.F) {
	f.Add([]byte(`{"format":1,"node_id":"a","cluster":"0123456789abcdef"}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := decodeIdentity(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeIdentity(again); err != nil || !reflect.DeepEqual(back, found) {
			t.Errorf("%+v came back as %+v, %v", found, back, err)
		}
	})
}

func TestALogWithoutItsTableIsRefused(t *testing.T) {
	store := raft.NewInmemStore()
	if err := store.StoreLog(&raft.Log{Index: 100, Term: 3}); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{
		NodeID: "a", DataDir: t.TempDir(), Logs: store, Stable: store,
		Network: newMemNet().Node("a"), Peers: &memPeers{},
	}, openTestMachine(new(disk)))
	if err == nil || !strings.Contains(err.Error(), "the log begins at 100") {
		t.Error(err)
	}
}

func TestTheLibrarysLinesBecomeOurs(t *testing.T) {
	var out bytes.Buffer
	l := newRaftLogger(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Named("net").With("peer", "b").Warn("failed to contact", "servers", hclog.Fmt("%d of %d", 1, 2), "dangling")
	l.Trace("not of interest")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if line["level"] != "WARN" || line["servers"] != "1 of 2" || line["peer"] != "b" || line["component"] != "raft.net" {
		t.Errorf("%v", line)
	}
}
