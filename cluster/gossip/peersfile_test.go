package gossip

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var seen = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func member(id string) Member {
	return Member{ID: id, GossipAddr: id + ":1", ClusterAddr: id + ":2"}
}

func TestPeersAreRememberedAcrossARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	m, err := recall(path)
	if err != nil {
		t.Fatal(err)
	}
	m.learn([]Member{member("a"), member("b"), member("c")}, "a", seen)
	m.forget("c")
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "format": 1,
  "peers": [
    {
      "id": "b",
      "gossip_addr": "b:1",
      "cluster_addr": "b:2",
      "seen": "2030-01-01T12:00:00Z"
    }
  ]
}
`
	if string(raw) != want {
		t.Errorf("the file is\n%s", raw)
	}
	again, err := recall(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := again.find("b"); !ok || b.ClusterAddr != "b:2" || !b.Seen.Equal(seen) {
		t.Errorf("remembered %+v, %v", b, ok)
	}
	if _, ok := again.find("a"); ok {
		t.Error("it remembers itself")
	}
}

func TestTheFileIsWrittenOnlyForNews(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	m, _ := recall(path)
	m.learn([]Member{member("b")}, "a", seen)
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	m.learn([]Member{member("b")}, "a", seen.Add(time.Hour))
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("written without news")
	}
}

func TestTheOldestAreForgottenFirst(t *testing.T) {
	m, _ := recall("")
	for i := range maxPeers + 10 {
		m.learn([]Member{member(fmt.Sprintf("n%03d", i))}, "a", seen.Add(time.Duration(i)*time.Minute))
	}
	if n := len(m.list()); n != maxPeers {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := m.find("n009"); ok {
		t.Error("an old one is remembered")
	}
	if _, ok := m.find("n010"); !ok {
		t.Error("a newer one is forgotten")
	}
}

func TestADamagedFileIsSaidAndForgotten(t *testing.T) {
	for name, content := range map[string]string{
		"garbage": "{", "newer": `{"format":2,"peers":[]}`, "no format": `{"peers":[]}`,
		"nameless": `{"format":1,"peers":[{"gossip_addr":"x:1"}]}`, "endless": strings.Repeat(" ", maxPeersBytes+1),
	} {
		path := filepath.Join(t.TempDir(), "peers.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := recall(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		m.learn([]Member{member("b")}, "a", seen)
		if err := m.save(); err != nil {
			t.Fatal(err)
		}
		if _, err := recall(path); err != nil {
			t.Errorf("%s: not written anew: %v", name, err)
		}
	}
}

func TestAFailedWriteIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	m, err := recall(filepath.Join(dir, "peers.json"))
	if err != nil {
		t.Fatal(err)
	}
	m.learn([]Member{member("b")}, "a", seen)
	if err := m.save(); err == nil {
		t.Fatal("written into a directory that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.save(); err != nil {
		t.Error(err)
	}
	if again, _ := recall(m.path); len(again.list()) != 1 {
		t.Error("forgotten")
	}
}

func FuzzDecodePeers(f *testing.F) {
	f.Add([]byte(`{"format":1,"peers":[{"id":"b","gossip_addr":"x:1","seen":"2030-01-01T12:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := decodePeers(raw)
		if err == nil && d.Format != peersFormat {
			t.Fatalf("format %d was taken", d.Format)
		}
	})
}
