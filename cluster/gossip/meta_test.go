package gossip

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestMetadataNeverChange(t *testing.T) {
	m := Meta{ID: "n1", Cluster: 0x0102030405060708, ClusterAddr: "h:1", Feature: 0x0a0b}
	raw, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(raw), "01"+"0102030405060708"+"0a0b"+"02"+"6e31"+"03"+"683a31"; got != want {
		t.Errorf("metadata are %s, were %s", got, want)
	}
	// A newer node may say more.
	back, err := decodeMeta(append(raw, "more"...))
	if err != nil || back != m {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestMetadataThatDoNotFitAreAnErrorAndNoPanic(t *testing.T) {
	for name, m := range map[string]Meta{
		"no id":        {},
		"long id":      {ID: strings.Repeat("x", 256)},
		"long address": {ID: "x", ClusterAddr: strings.Repeat("x", 256)},
		"both long":    {ID: strings.Repeat("x", 255), ClusterAddr: strings.Repeat("x", 255)},
	} {
		if _, err := m.encode(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	raw, err := Meta{ID: strings.Repeat("x", 64), ClusterAddr: strings.Repeat("x", 255)}.encode()
	if err != nil || len(raw) > memberlist.MetaMaxSize {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestAnAddressWithoutAHostIsTheGossipsOwn(t *testing.T) {
	for addr, want := range map[string]string{
		":7421": "10.1.2.3:7421", "0.0.0.0:7421": "10.1.2.3:7421", "[::]:7421": "10.1.2.3:7421",
		"10.9.9.9:1": "10.9.9.9:1", "node.example:1": "node.example:1", "": "",
	} {
		if got, err := completeAddr(addr, net.IPv4(10, 1, 2, 3)); err != nil || got != want {
			t.Errorf("%q became %q, %v", addr, got, err)
		}
	}
	if _, err := completeAddr("nonsense", net.IPv4(10, 1, 2, 3)); err == nil {
		t.Error("nonsense was taken")
	}
}

func FuzzDecodeMeta(f *testing.F) {
	raw, err := Meta{ID: "n1", Cluster: 7, ClusterAddr: "127.0.0.1:7421", Feature: 3}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Add(raw[:12])
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeMeta(raw)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			if len(raw) <= memberlist.MetaMaxSize {
				t.Fatalf("%+v was read and cannot be written: %v", m, err)
			}
			return
		}
		if back, err := decodeMeta(again); err != nil || back != m {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
		// What a stranger announces must not hurt either.
		_, _ = memberOf(&memberlist.Node{Name: m.ID, Addr: net.IPv4(127, 0, 0, 1), Port: 1, Meta: raw})
	})
}
