package fsm

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
	"github.com/holdfastdb/holdfast/storage"
)

// fuzzValue fuzzes a decoder of a stored value. What it reads, another decoder
// reads too, and what the release would write of it reads the same.
func fuzzValue[T any](f *testing.F, decode func([]byte) (T, error), encode func(T) []byte) {
	for _, g := range goldenValues() {
		f.Add(g.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		v, err := decode(raw)
		if !bytes.Equal(given, raw) {
			t.Fatal("the decoder has changed its input")
		}
		if err != nil {
			return
		}
		written := encode(v)
		again, err := decode(written)
		if err != nil {
			t.Fatalf("what was written of %x does not read: %v", raw, err)
		}
		if !bytes.Equal(encode(again), written) {
			t.Fatalf("%x is written as %x, and then in another way", raw, written)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	fuzzValue(f, func(b []byte) (record, error) { return decodeRecord(session.ID{1}, b) },
		func(r record) []byte { return encodeRecord(&r) })
}

func FuzzDecodeAccount(f *testing.F) { fuzzValue(f, decodeAccount, encodeAccount) }

func FuzzDecodeEvent(f *testing.F) {
	fuzzValue(f, func(b []byte) (session.Event, error) { return decodeEvent(session.EventID{}, b) },
		func(e session.Event) []byte { return encodeEvent(&e) })
}

func FuzzDecodeMeta(f *testing.F) {
	fuzzValue(f, decodeMeta, func(m meta) []byte { return encodeMeta(&m) })
}

func FuzzDecodeIncarnation(f *testing.F) {
	fuzzValue(f, decodeIncarnation, (*incarnation).encode)
}

func FuzzDecodeRemembered(f *testing.F) {
	fuzzValue(f, decodeRemembered, func(m remembered) []byte { return encodeRemembered(&m) })
}

func FuzzDecodeReply(f *testing.F) {
	fuzzValue(f, decodeReply, func(p reply) []byte {
		_ = p.err()
		return encodeReply(&p)
	})
}

// FuzzFields holds what is accepted here to what another decoder accepts.
func FuzzFields(f *testing.F) {
	for _, g := range goldenValues() {
		f.Add(g.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := readFields(raw)
		for _, ok := r.next(); ok; _, ok = r.next() {
			r.skip(0)
		}
		if r.end() == nil && commandDecoding.Wellformed(raw) != nil {
			var fields map[uint64]any
			if err := strictDecoding.Unmarshal(raw, &fields); err != nil {
				t.Fatalf("%x is accepted here, and there: %v", raw, err)
			}
		}
	})
}

// FuzzDecodeCommand fuzzes an envelope, its frame made good, and then its body
// as each command's.
func FuzzDecodeCommand(f *testing.F) {
	for _, g := range goldenCommands() {
		f.Add(g.raw[crcLen:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := decodeEnvelope(raw); err == nil && (len(raw) < crcLen || crc32.Checksum(raw[crcLen:], castagnoli) != binary.BigEndian.Uint32(raw)) {
			t.Fatal("a wrong checksum was accepted")
		}
		e, err := decodeEnvelope(framed(raw))
		if err != nil {
			return
		}
		fuzzBody(t, e, decodeCreate)
		fuzzBody(t, e, decodePatch)
		fuzzBody(t, e, decodePatchUser)
		fuzzBody(t, e, decodeRevoke)
		fuzzBody(t, e, decodeRevokeUser)
		fuzzBody(t, e, decodeTouch)
		fuzzBody(t, e, decodeSweep)
	})
}

func fuzzBody[T any](t *testing.T, e envelope, decode func([]byte) (T, error)) {
	body, err := decodeBody(&e, decode)
	if err != nil {
		return
	}
	written := command(t, e, body)
	again, err := decodeEnvelope(written)
	if err != nil {
		t.Fatalf("what was written does not read: %v", err)
	}
	if body, err = decodeBody(&again, decode); err != nil {
		t.Fatalf("the body that was written does not read: %v", err)
	}
	if !bytes.Equal(command(t, again, body), written) {
		t.Fatalf("%x is written as %x, and then in another way", e.Body, written)
	}
}

// FuzzDecodeBody fuzzes the bodies alone, which are what a proposer fills.
func FuzzDecodeBody(f *testing.F) {
	for _, g := range goldenCommands() {
		if e, err := decodeEnvelope(g.raw); err == nil {
			f.Add([]byte(e.Body))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if commandDecoding.Wellformed(raw) != nil {
			return // an envelope cannot hold it
		}
		e := envelope{Type: cmdTick, Body: raw}
		fuzzBody(t, e, decodeCreate)
		fuzzBody(t, e, decodePatch)
		fuzzBody(t, e, decodePatchUser)
		fuzzBody(t, e, decodeRevoke)
		fuzzBody(t, e, decodeRevokeUser)
		fuzzBody(t, e, decodeTouch)
		fuzzBody(t, e, decodeSweep)
	})
}

// FuzzImport imports one pair beside a sound state, in an archive whose
// checksums are right, and an archive of the fuzzer's own.
func FuzzImport(f *testing.F) {
	for _, g := range goldenValues() {
		f.Add(g.key, g.raw, false)
	}
	f.Add([]byte{}, []byte("HOLDFAST"), true)
	table, err := storage.Open(filepath.Join(f.TempDir(), "t.db"), quiet())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = table.Close() })
	m, err := OpenMachine(table)
	if err != nil {
		f.Fatal(err)
	}
	m.Begin(1, 1, int64(midnight), testCluster)
	f.Fuzz(func(t *testing.T, key, value []byte, bare bool) {
		archive := value
		if !bare {
			if len(key) == 0 || len(key) > snapshot.MaxKeyBytes {
				return
			}
			archive = forge(t, snapshot.Header{Index: 9}, pair{metaHashKey, []byte{0, 0, 0, 0, 0, 0, 0, 9}}, pair{key, value})
		}
		index, hash := m.Hash()
		if err := m.Import(bytes.NewReader(archive)); err == nil {
			m.Begin(1<<20, 1, int64(midnight), testCluster) // whatever it is, the log goes on
			return
		}
		if i, h := m.Hash(); i != index || h != hash {
			t.Fatal("an archive that was refused has taken effect")
		}
		if raw, _, err := table.Get(metaStateKey); err != nil || !bytes.Equal(raw, m.metaRaw) {
			t.Fatalf("an archive that was refused has changed the table: %x, %v", raw, err)
		}
	})
}
