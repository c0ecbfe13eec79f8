package fsm

import (
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfastdb/holdfast/session"
)

// kept is an archive, and what the model knew when it was made.
type kept struct {
	archive   []byte
	n         map[session.Token]int
	notBefore map[string]session.Time
}

func (r *trial) keep(t *rapid.T) *kept {
	k := &kept{archive: r.any(t).saved(), n: map[session.Token]int{}, notBefore: maps.Clone(r.notBefore)}
	for token, s := range r.sessions {
		k.n[token] = s.n
	}
	return k
}

// restored is what a restore into a running cluster should come to.
func (m *model) restored(k *kept) (want Restored) {
	archived := len(k.n)
	for _, token := range m.live("*") {
		n, there := k.n[token]
		if !there {
			continue
		}
		archived--
		s := m.sessions[token]
		if s.n == n {
			want.Unchanged++
			continue
		}
		s.n = n
		s.version++
		want.Restored++
	}
	for user, at := range k.notBefore {
		if at.Add(time.Hour) > m.now {
			m.notBefore[user] = max(m.notBefore[user], at)
		}
	}
	want.Dead = uint64(archived)
	return want
}

// Whatever happens between an archive and its restore: who is alive stays alive and has the archive's data, who is dead
// stays dead, and no older login counts again. All nodes agree, also one that restarts.
func TestARestoreIsTheModelsWhateverHappensBetween(t *testing.T) {
	dir := t.TempDir()
	runs, restores := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		here := fmt.Sprintf("%s/%d", dir, runs)
		if err := os.Mkdir(here, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(here)
		r := &trial{
			model: &model{now: midnight, sessions: map[session.Token]*modelled{}, notBefore: map[string]session.Time{}},
			log:   newLog(t, here, 2).operated(),
		}
		defer r.log.close()
		var k *kept
		actions := r.actions()
		actions["save"] = func(t *rapid.T) { k = r.keep(t) }
		actions["restore"] = func(t *rapid.T) {
			if k == nil || len(r.sessions) == 0 {
				t.Skip("nothing to restore, or into")
			}
			r.log.answersLost = 0
			restores++
			want := r.restored(k)
			got, err := r.any(t).restore(k.archive, "")
			expect(t, err, true, "")
			// Of the dead ones the table may have forgotten some when the archive was made, and others not.
			if got.Restored != want.Restored || got.Unchanged != want.Unchanged || got.Dead > want.Dead+uint64(len(r.dead)) {
				t.Fatalf("restored %+v, want %+v", got, want)
			}
		}
		t.Repeat(actions)
	})
	if restores == 0 {
		t.Error("nothing was ever restored: this test has shown nothing")
	}
}
