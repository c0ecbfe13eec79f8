package fsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

func TestTheLevelRisesOnceEveryMemberAnnouncesIt(t *testing.T) {
	l := newTestLog(t, 2)
	m := l.members[0]
	for _, c := range []struct {
		name      string
		announced uint16
		want      uint16
		proposes  int
	}{
		{"a silent member", 0, levelFirst, 0},
		{"an old member", levelFirst, levelFirst, 0},
		{"all know the next one", levelOperated, levelOperated, 1},
		{"once is enough", levelOperated, levelOperated, 0},
		{"more than this release knows", levelOperated + 5, levelOperated, 0},
		{"an old member again", levelFirst, levelOperated, 0},
	} {
		l.memberLevel = c.announced
		before := l.proposals
		if err := m.raiseLevel(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reached, _ := m.machine.Level(); reached != c.want {
			t.Errorf("%s: the level is %d, want %d", c.name, reached, c.want)
		}
		if got := l.proposals - before; got != c.proposes {
			t.Errorf("%s: %d proposals, want %d", c.name, got, c.proposes)
		}
	}
	m.crash()
	if reached, known := m.machine.Level(); reached != levelOperated || known != knownLevel {
		t.Errorf("after a restart the level is %d of %d", reached, known)
	}
}

// A level that a later release has raised, as the state and as a command.
const levelUnknown = knownLevel + 1

func TestADataDirectoryOfALaterLevelIsRefused(t *testing.T) {
	path := t.TempDir() + "/t.db"
	table, err := storage.Open(path, storage.Options{InitialMmapSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var b storage.Batch
	b.Put(metaStateKey, encodeMeta(&meta{cluster: testCluster, stamp: midnight, raised: levelUnknown}))
	b.Put(metaHashKey, encodeHash(1, 0))
	table.Write(&b)
	table.Advance(1, 1)
	if err := table.Flush(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMachine(table); !errors.Is(err, ErrNewerLevel) {
		t.Errorf("got %v", err)
	}
}

func TestAnArchiveOfALaterLevelIsRefused(t *testing.T) {
	m := newTestMachine(t)
	archive := forge(t, snapshot.Header{Index: 9}, pair{metaHashKey, []byte{0, 0, 0, 0, 0, 0, 0, 9}},
		pair{metaStateKey, encodeMeta(&meta{cluster: 2, stamp: midnight, raised: levelUnknown})})
	if err := m.Import(bytes.NewReader(archive)); !errors.Is(err, ErrNewerLevel) {
		t.Errorf("got %v", err)
	}
}

func TestACommandThatRaisesTheLevelTooFarStopsTheNode(t *testing.T) {
	m := newTestMember(t)
	command, err := encodeCommand(envelope{Type: cmdLevel}, levelBody{Level: levelUnknown})
	if err != nil {
		t.Fatal(err)
	}
	index, term, stamp := m.machine.Applied()
	defer func() {
		if broken, _ := recover().(string); !strings.Contains(broken, "upgrade this node") {
			t.Errorf("it says %q", broken)
		}
	}()
	m.machine.Apply(index+1, term, stamp, [][]byte{command})
}

func TestANodeThatIsBehindAsksForTheLevelBeforeItRefuses(t *testing.T) {
	l := newTestLog(t, 2)
	leader, behind := l.members[0], l.members[1]
	behind.behind = true
	l.memberLevel = levelOperated
	if err := leader.raiseLevel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if reached, _ := behind.machine.Level(); reached != levelFirst {
		t.Fatalf("it is at level %d already", reached)
	}
	if reached, err := behind.reach(t.Context(), levelOperated); err != nil || reached != levelOperated {
		t.Errorf("level %d, %v", reached, err)
	}
}
