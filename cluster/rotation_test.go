package cluster

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cluster/pki"
)

// withKeyFiles gives every node a file of its own with the same cluster key.
func withKeyFiles(t *testing.T) (configure func(*Config), file func(id string) string) {
	dir := t.TempDir()
	key := newClusterKey(t)
	file = func(id string) string { return filepath.Join(dir, id+".key") }
	return func(c *Config) {
		c.KeyFile = file(c.NodeID)
		if _, err := os.Stat(c.KeyFile); err != nil {
			writeKeys(t, c.KeyFile, key)
		}
	}, file
}

func newClusterKey(t *testing.T) pki.Key {
	t.Helper()
	key, err := pki.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writeKeys(t *testing.T, path string, keys ...pki.Key) {
	t.Helper()
	var text strings.Builder
	for _, key := range keys {
		text.WriteString(key.Reveal() + "\n")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// step makes a step through the node, which must be possible.
func (s *sim) step(one *simNode, step string) KeyStep {
	s.t.Helper()
	k, err := one.node.RotateKey(s.t.Context(), step, nil)
	if err != nil {
		s.t.Fatalf("%s through %s: %v", step, one.id, err)
	}
	return k
}

// refused makes a step that must not be possible, and must say why.
func (s *sim) refused(one *simNode, step string, reasons ...string) {
	s.t.Helper()
	_, err := one.node.RotateKey(s.t.Context(), step, nil)
	if !errors.Is(err, ErrImpossible) {
		s.t.Fatalf("%s through %s: %v", step, one.id, err)
	}
	for _, reason := range reasons {
		if !strings.Contains(err.Error(), reason) {
			s.t.Errorf("%s: %v does not say %q", step, err, reason)
		}
	}
}

// keysAre checks names in use and in the file of running nodes.
func (s *sim) keysAre(file func(string) string, want ...string) {
	s.t.Helper()
	for _, id := range s.ids {
		one := s.nodes[id]
		if one.node == nil {
			continue
		}
		keys, err := pki.ParseKeyFile(file(id))
		if got := one.node.KeyNames(); err != nil || !slices.Equal(got, want) || !slices.Equal(namesOf(keys), want) {
			s.t.Errorf("%s uses %v and has %v in its file, %v; want %v", id, got, namesOf(keys), err, want)
		}
	}
}

func TestAClusterKeyIsRotatedStepByStepThroughAnyNode(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		a, b := s.others(leader.id)[0], s.others(leader.id)[1]
		before := a.node.KeyNames()[0]
		installed := s.step(a, KeyInstall)
		after := installed.Key
		if after == before || !slices.Equal(installed.Done, []string{"n1", "n2", "n3"}) || len(installed.Missing) != 0 {
			t.Fatalf("%+v", installed)
		}
		s.keysAre(file, before, after)
		// Again, through another node: the same key.
		if again := s.step(b, KeyInstall); again.Key != after {
			t.Errorf("another key was drawn: %+v", again)
		}
		s.refused(a, KeyRemove, "does not sign with it")
		for range 2 {
			s.step(b, KeyUse)
			s.keysAre(file, after, before)
		}
		if again := s.step(a, KeyInstall); again.Key != after || len(again.Done) != 3 {
			t.Errorf("install after use: %+v", again)
		}
		for range 2 {
			s.step(leader, KeyRemove)
			s.keysAre(file, after)
		}
		if len(leader.node.SealKeys()) != 2 {
			t.Error("what was sealed a moment ago cannot be opened")
		}
		time.Sleep(sealGrace)
		if len(leader.node.SealKeys()) != 1 {
			t.Error("the removed key still opens seals")
		}
		if next := s.step(a, KeyInstall); next.Key == after {
			t.Error("a new rotation drew no new key")
		}
	})
}

func TestARotationWaitsForANodeThatIsDownAndTheLeaderBringsItTheKey(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		down, other := s.others(leader.id)[0].id, s.others(leader.id)[1]
		before := other.node.KeyNames()[0]
		s.kill(down)
		installed := s.step(other, KeyInstall)
		if len(installed.Done) != 2 || len(installed.Missing) != 1 || installed.Missing[0] != (KeyMissing{down, "does not answer"}) {
			t.Fatalf("%+v", installed)
		}
		s.refused(other, KeyUse, down+" does not answer")
		s.start(down)
		s.eventually(30*time.Second, "the node has the key", func() bool {
			return slices.Contains(s.nodes[down].node.KeyNames(), installed.Key)
		})
		s.keysAre(file, before, installed.Key)
		s.step(other, KeyUse)
		s.kill(down)
		s.refused(other, KeyRemove, down+" does not answer")
		s.start(down)
		s.eventually(30*time.Second, "the node is back", func() bool {
			_, err := other.node.RotateKey(s.t.Context(), KeyRemove, nil)
			return err == nil
		})
		s.keysAre(file, installed.Key)
	})
}

func TestANewLeaderThatLacksTheNewKeyGetsItFromAnother(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		rest := s.others(leader.id)
		before := leader.node.KeyNames()[0]
		late := newClusterKey(t)
		if err := rest[0].node.installKey(late); err != nil {
			t.Fatal(err)
		}
		if got := s.step(rest[1], KeyInstall); got.Key != late.Name() || len(got.Done) != 3 {
			t.Errorf("%+v", got)
		}
		s.keysAre(file, before, late.Name())
	})
}

func TestAKeyOfTheOperatorsOwnIsInstalledAndNoSecond(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		one := s.others(s.leader().id)[0]
		before := one.node.KeyNames()[0]
		mine, other := newClusterKey(t), newClusterKey(t)
		for range 2 {
			if k, err := one.node.RotateKey(s.t.Context(), KeyInstall, &mine); err != nil || k.Key != mine.Name() {
				t.Fatalf("%+v, %v", k, err)
			}
		}
		if _, err := one.node.RotateKey(s.t.Context(), KeyInstall, &other); !errors.Is(err, ErrImpossible) || !strings.Contains(err.Error(), "under way") {
			t.Errorf("a second key: %v", err)
		}
		s.keysAre(file, before, mine.Name())
		if _, err := one.node.RotateKey(s.t.Context(), "burn", nil); !errors.Is(err, ErrImpossible) {
			t.Errorf("a step that there is not: %v", err)
		}
	})
}

func TestAFileThatCannotBeRewrittenChangesNothing(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		one := s.others(leader.id)[0]
		before := one.node.KeyNames()
		// A directory that is no more stands for one that is mounted read-only.
		keys, err := os.ReadFile(file(one.id))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file(one.id)); err != nil {
			t.Fatal(err)
		}
		got := s.step(leader, KeyInstall)
		if len(got.Missing) != 1 || got.Missing[0].ID != one.id || !strings.HasPrefix(got.Missing[0].Reason, "cluster key file") {
			t.Fatalf("%+v", got)
		}
		if !slices.Equal(one.node.KeyNames(), before) {
			t.Error("a key is in use that is in no file")
		}
		s.refused(leader, KeyUse, one.id+" lacks it")
		// The operator brings the file, and the rotation goes on.
		installed, err := os.ReadFile(file(leader.id))
		if err != nil || !strings.HasPrefix(string(installed), string(keys)) {
			t.Fatalf("the old key is not the first: %v", err)
		}
		if err := os.WriteFile(file(one.id), installed, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := one.node.ReloadKeys(); err != nil {
			t.Fatal(err)
		}
		s.step(leader, KeyUse)
		s.step(leader, KeyRemove)
		s.keysAre(file, got.Key)
	})
}

func TestAReloadTakesTheStepsThatASafeRotationHasAndNoOther(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		one := s.others(s.leader().id)[0]
		old, err := pki.ParseKeyFile(file(one.id))
		if err != nil {
			t.Fatal(err)
		}
		fresh := newClusterKey(t)
		reload := func(keys ...pki.Key) error {
			writeKeys(t, file(one.id), keys...)
			return one.node.ReloadKeys()
		}
		if err := reload(fresh); err == nil || !strings.Contains(err.Error(), "lacks key "+old[0].Name()) {
			t.Errorf("the key that signs is gone: %v", err)
		}
		if got := one.node.KeyNames(); !slices.Equal(got, namesOf(old)) {
			t.Errorf("%v after a refusal", got)
		}
		if err := reload(fresh, old[0]); err == nil || !strings.Contains(err.Error(), "make it the second one everywhere first") {
			t.Errorf("a new key is the first at once: %v", err)
		}
		s.keysAreInUse(one, old...)
		for _, keys := range [][]pki.Key{{old[0], fresh}, {fresh, old[0]}, {fresh}} {
			if err := reload(keys...); err != nil || !slices.Equal(one.node.KeyNames(), namesOf(keys)) {
				t.Fatalf("%v: %v, %v", namesOf(keys), one.node.KeyNames(), err)
			}
		}
		if err := os.WriteFile(file(one.id), []byte("half a ke"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := one.node.ReloadKeys(); err == nil || strings.Contains(err.Error(), "half") {
			t.Errorf("a damaged file: %v", err)
		}
		s.keysAreInUse(one, fresh)
	})
}

func (s *sim) keysAreInUse(one *simNode, keys ...pki.Key) {
	s.t.Helper()
	if got := one.node.KeyNames(); !slices.Equal(got, namesOf(keys)) {
		s.t.Errorf("%s uses %v, want %v", one.id, got, namesOf(keys))
	}
}

func TestARotationSurvivesTheLossOfEveryLeaderThatMakesAStep(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		before := s.leader().node.KeyNames()[0]
		target := ""
		for _, step := range []string{KeyInstall, KeyUse, KeyRemove} {
			leader := s.leader()
			k := s.step(s.others(leader.id)[0], step)
			if target == "" {
				target = k.Key
			}
			if k.Key != target || len(k.Missing) != 0 {
				t.Fatalf("%+v", k)
			}
			s.kill(leader.id)
			next := s.leader()
			s.start(leader.id)
			s.eventually(30*time.Second, "the step is made again under another leader", func() bool {
				again, err := next.node.RotateKey(s.t.Context(), step, nil)
				return err == nil && len(again.Missing) == 0 && again.Key == target
			})
		}
		if target == before {
			t.Error("the key is the old one")
		}
		s.keysAre(file, target)
		s.converge()
	})
}

func TestAKeyThatCameWhileTheNodeWasDownIsPendingWhenItStarts(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		one := s.others(s.leader().id)[0]
		old := one.node.keyring.state.Load().keys[0]
		fresh := newClusterKey(t)
		s.kill(one.id)
		writeKeys(t, file(one.id), old, fresh)
		s.start(one.id)
		if got := one.node.pendingKey(); got != fresh.Name() {
			t.Errorf("pending is %q", got)
		}
		s.kill(one.id)
		s.start(one.id)
		if got := one.node.pendingKey(); got != fresh.Name() {
			t.Errorf("after another restart pending is %q", got)
		}
		s.eventually(30*time.Second, "the rotation goes on with that key", func() bool {
			k, err := one.node.RotateKey(s.t.Context(), KeyInstall, nil)
			return err == nil && len(k.Missing) == 0 && k.Key == fresh.Name()
		})
		s.step(one, KeyUse)
		s.step(one, KeyRemove)
		s.keysAre(file, fresh.Name())
	})
}

func TestWhichKeyIsPending(t *testing.T) {
	for _, c := range []struct {
		name          string
		id            identity
		keys          []string
		pending, fail string
	}{
		{"the first key alone", identity{Cluster: "a", Keys: []string{"a"}}, []string{"a"}, "", ""},
		{"installed", identity{Cluster: "a", Keys: []string{"a"}}, []string{"a", "b"}, "b", ""},
		{"installed, of a release without a list", identity{Cluster: "a"}, []string{"a", "b"}, "b", ""},
		{"used", identity{Cluster: "a", Keys: []string{"a", "b"}, Pending: "b"}, []string{"b", "a"}, "", ""},
		{"used, and restarted", identity{Cluster: "b", Keys: []string{"b", "a"}}, []string{"b", "a"}, "", ""},
		{"given up", identity{Cluster: "a", Keys: []string{"a", "b"}, Pending: "b"}, []string{"a"}, "", ""},
		{"installed and used in one", identity{Cluster: "a", Keys: []string{"a"}}, []string{"b", "a"}, "", ""},
		{"removed too early", identity{Cluster: "a", Keys: []string{"a", "b"}, Pending: "b"}, []string{"b"}, "", "refused"},
	} {
		next, ok := c.id.follow(c.keys)
		if ok != (c.fail == "") {
			t.Errorf("%s: %v", c.name, ok)
		}
		if ok && (next.Pending != c.pending || next.Cluster != c.keys[0] || !slices.Equal(next.Keys, c.keys)) {
			t.Errorf("%s: %+v", c.name, next)
		}
	}
}

func TestMembersThatDisagreeTooMuchAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		r      rotation
		target string
		says   string
	}{
		{"one key", rotation{{id: "n1", keys: []string{"a"}}, {id: "n2", reason: "does not answer"}}, "a", ""},
		{"half installed", rotation{{id: "n1", keys: []string{"a", "b"}, pending: "b"}, {id: "n2", keys: []string{"a"}}}, "b", ""},
		{"half used", rotation{{id: "n1", keys: []string{"b", "a"}}, {id: "n2", keys: []string{"a", "b"}, pending: "b"}}, "b", ""},
		{"half removed", rotation{{id: "n1", keys: []string{"b"}}, {id: "n2", keys: []string{"b", "a"}}}, "b", ""},
		{"two new keys", rotation{{id: "n1", keys: []string{"a", "b"}, pending: "b"}, {id: "n2", keys: []string{"a", "c"}, pending: "c"}}, "", "n1: a b, n2: a c"},
		{"three keys", rotation{{id: "n1", keys: []string{"a", "b", "c"}}, {id: "n2", keys: []string{"a"}}}, "", "more keys than one rotation needs"},
		{"two first ones, none new", rotation{{id: "n1", keys: []string{"b", "a"}}, {id: "n2", keys: []string{"a", "b"}}}, "", "none of which is new"},
	} {
		target, err := c.r.target()
		if target != c.target || (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q, %v", c.name, target, err)
		}
	}
}

func TestMalformedKeyStepsAreRefused(t *testing.T) {
	configure, file := withKeyFiles(t)
	simulate(t, 3, configure, func(s *sim) {
		leader := s.leader()
		name := leader.node.KeyNames()[0]
		for what, body := range map[string][]byte{
			"nothing": {}, "no key": {stepInstall}, "half a key": append([]byte{stepInstall}, make([]byte, 31)...),
			"an unknown step": {99}, "no step to lead": {stepLead}, "a step that is cut": {stepLead, 9, 'u'},
			"a step and half a key": {stepLead, 3, 'u', 's', 'e', 1}, "an unknown key to use": append([]byte{stepUse}, "0000000000000000"...),
			"an unknown key to keep": append([]byte{stepRemove}, "0000000000000000"...), "an unknown key to give": append([]byte{stepGive}, "0000000000000000"...),
		} {
			if answer, err := leader.node.serveKeys(s.t.Context(), "n1", body); err == nil {
				t.Errorf("%s was answered: %q", what, answer)
			}
		}
		if _, err := leader.node.serveKeys(s.t.Context(), "nobody", append([]byte{stepGive}, name...)); err == nil {
			t.Error("a key was given to one that is no member")
		}
		s.keysAre(file, name)
	})
}
