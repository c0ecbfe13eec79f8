package storage

import (
	"bytes"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func TestAMemtableIsAnOrderedMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m, want, deleted := newMemtable(), map[string]string{}, map[string]bool{}
		for range rapid.IntRange(1, 20).Draw(rt, "batches") {
			var b Batch
			for range rapid.IntRange(0, 60).Draw(rt, "writes") {
				k := rapid.StringMatching(`[a-d]{1,4}`).Draw(rt, "key")
				if deleted[k] = rapid.Bool().Draw(rt, "delete"); deleted[k] {
					b.Delete([]byte(k))
					want[k] = ""
				} else {
					want[k] = rapid.StringN(0, 3, 3).Draw(rt, "value")
					b.Put([]byte(k), []byte(want[k]))
				}
			}
			b.sort()
			m.apply(b.writes)
		}
		got, bytesWant := map[string]string{}, int64(0)
		var last []byte
		for n := m.head.next[0]; n != nil; n = n.next[0] {
			if bytes.Compare(last, n.key) >= 0 {
				rt.Fatalf("%q follows %q", n.key, last)
			}
			last = n.key
			got[string(n.key)] = string(n.value)
			bytesWant += int64(len(n.key) + len(n.value) + nodeBytes)
			if m.get(n.key) != n || n.deleted != deleted[string(n.key)] {
				rt.Fatalf("%q is found as another", n.key)
			}
		}
		for level := 1; level < m.height; level++ {
			for n := m.head.next[level]; n != nil; n = n.next[level] {
				if m.get(n.key) != n {
					rt.Fatalf("level %d leads to %q, which is nowhere", level, n.key)
				}
			}
		}
		if !maps.Equal(got, want) || m.len != len(want) || m.bytes != bytesWant {
			rt.Fatalf("%d nodes, %d bytes: %v; want %d, %d: %v", m.len, m.bytes, got, len(want), bytesWant, want)
		}
	})
}
