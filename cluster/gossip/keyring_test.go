package gossip

import (
	"bytes"
	"testing"
)

func TestKeysRotateWithoutASplit(t *testing.T) {
	a := open(t, config("n1"))
	b := open(t, config("n2", a.Addr()))
	until(t, "they meet", func() bool { return sees(a, "n1", "n2") && sees(b, "n1", "n2") })
	before, after := key(1), key(2)
	for _, step := range [][][32]byte{{before, after}, {after, before}, {after}} {
		for _, p := range []*Pool{a, b} {
			if err := p.SetKeys(step); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.list.Join([]string{b.Addr()}); err != nil {
			t.Fatalf("no gossip under %d keys: %v", len(step), err)
		}
	}
	if err := a.SetKeys(nil); err == nil {
		t.Error("no key was taken")
	}
	late := open(t, config("n3", a.Addr())) // has the removed key alone
	if _, err := late.list.Join([]string{a.Addr()}); err == nil {
		t.Error("the removed key is still good")
	}
}

func TestReplacedKeysNeverMoveUnderAReader(t *testing.T) {
	ring, err := newKeyring([][32]byte{key(1), key(2), key(3), key(4)})
	if err != nil {
		t.Fatal(err)
	}
	held := ring.GetKeys()
	want := make([][]byte, len(held))
	copy(want, held)
	if err := replaceKeys(ring, [][32]byte{key(3), key(9)}); err != nil {
		t.Fatal(err)
	}
	for i := range held {
		if !bytes.Equal(held[i], want[i]) {
			t.Error("a slice that a reader holds has changed")
		}
	}
	now := ring.GetKeys()
	if k, n := key(3), key(9); len(now) != 2 || !bytes.Equal(now[0], k[:]) || !bytes.Equal(now[1], n[:]) {
		t.Errorf("%d keys, or in another order", len(now))
	}
}
