package fsm

import (
	"bytes"
	"math"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfastdb/holdfast/session"
)

// strictDecoding accepts what a field of ours may be, now or later.
var strictDecoding = mustDecMode(cbor.DecOptions{
	DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
	IntDec: cbor.IntDecConvertNone, MaxArrayElements: outcomeItems * maxOutstanding,
})

// wellSpelt fails unless raw is what fxamacker/cbor makes of the same map in
// its core deterministic mode (RFC 8949, 4.2.1).
func wellSpelt(t tester, raw []byte) map[uint64]any {
	t.Helper()
	var fields map[uint64]any
	if err := strictDecoding.Unmarshal(raw, &fields); err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	again, err := commandEncoding.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, raw) {
		t.Fatalf("spelt  %x\nshould %x", raw, again)
	}
	return fields
}

func drawTime(t *rapid.T) session.Time { return session.Time(rapid.Int64().Draw(t, "time")) }

func drawText(t *rapid.T) string { return rapid.String().Draw(t, "text") }

func drawID(t *rapid.T) (id session.ID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return id
}

func drawHash(t *rapid.T) (h [32]byte) {
	copy(h[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return h
}

func drawRecord(t *rapid.T, id session.ID) record {
	return record{Session: session.Session{
		ID: id, UserID: drawText(t), TenantID: drawText(t), Data: []byte(rapid.StringN(1, 300, -1).Draw(t, "data")),
		Version: rapid.Uint64().Draw(t, "version"), CreatedAt: drawTime(t), UpdatedAt: drawTime(t), LastActiveAt: drawTime(t),
		IdleTimeout: session.Time(rapid.Int64Range(0, 1<<40).Draw(t, "idle")).Sub(0), AbsoluteExpiresAt: drawTime(t),
		Auth:       session.Auth{Issuer: drawText(t), Subject: drawText(t), SID: drawText(t), Method: drawText(t), Time: drawTime(t)},
		Device:     session.Device{IP: drawText(t), UserAgent: drawText(t), FirstIP: drawText(t), FirstUserAgent: drawText(t), Label: drawText(t)},
		SecretHash: drawHash(t), SecretSetAt: drawTime(t),
	}, queuedAt: drawTime(t)}
}

func drawOutcome(t *rapid.T) outcome {
	return outcome{
		code: code(rapid.Byte().Draw(t, "code")), id: drawID(t), version: rapid.Uint64().Draw(t, "version"),
		index: rapid.Uint64().Draw(t, "index"), count: rapid.Uint64().Draw(t, "count"),
	}
}

var unexported = cmp.AllowUnexported(restoring{}, counts{}, record{}, account{}, meta{}, remembered{}, outcome{}, reply{}, incarnation{}, numbered{})

func TestStoredValuesAreTheDeterministicCBOROfAnotherEncoder(t *testing.T) {
	// same holds one value against its bytes, its bytes against fxamacker/cbor,
	// and what is read back against the value.
	same := func(t *rapid.T, raw []byte, want any, decode func([]byte) (any, error)) {
		t.Helper()
		wellSpelt(t, raw)
		got, err := decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, unexported); diff != "" {
			t.Fatal(diff)
		}
	}
	for name, property := range map[string]func(*rapid.T){
		"record": func(t *rapid.T) {
			id := drawID(t)
			rec := drawRecord(t, id)
			same(t, encodeRecord(&rec), rec, func(b []byte) (any, error) { return decodeRecord(id, b) })
		},
		"account": func(t *rapid.T) {
			a := account{live: rapid.Uint64().Draw(t, "live"), notBefore: drawTime(t), until: drawTime(t)}
			same(t, encodeAccount(a), a, func(b []byte) (any, error) { return decodeAccount(b) })
		},
		"event": func(t *rapid.T) {
			id := session.EventID{Index: 1, Ordinal: 2}
			e := session.Event{
				ID: id, Time: drawTime(t), Type: session.EventType(rapid.Byte().Draw(t, "type")), SessionID: drawID(t),
				UserID: drawText(t), TenantID: drawText(t), Version: rapid.Uint64().Draw(t, "version"), Reason: drawText(t),
			}
			same(t, encodeEvent(&e), e, func(b []byte) (any, error) { return decodeEvent(id, b) })
		},
		"meta": func(t *rapid.T) {
			n := func() uint64 { return rapid.Uint64().Draw(t, "n") }
			m := meta{
				cluster: n(), stamp: drawTime(t), sessions: n(), users: n(), created: n(), revoked: n(), expired: n(), events: n(),
				idempotencies: n(), eventFloor: session.EventID{Index: n(), Ordinal: rapid.Uint32().Draw(t, "ordinal")},
			}
			same(t, encodeMeta(&m), m, func(b []byte) (any, error) { return decodeMeta(b) })
		},
		"remembered": func(t *rapid.T) {
			m := remembered{body: drawHash(t), command: cmdCreate, at: drawTime(t), outcome: drawOutcome(t), hash: drawHash(t)}
			m.outcome.code = codeOK
			same(t, encodeRemembered(&m), m, func(b []byte) (any, error) { return decodeRemembered(b) })
		},
		"incarnation": func(t *rapid.T) {
			inc := &incarnation{lowest: rapid.Uint64().Draw(t, "lowest"), lastSeen: drawTime(t)}
			for i := range rapid.IntRange(0, 40).Draw(t, "outcomes") {
				inc.outcomes = append(inc.outcomes, numbered{uint64(i * 7), drawOutcome(t)})
			}
			raw := inc.encode()
			inc.stored = raw
			same(t, raw, inc, func(b []byte) (any, error) { return decodeIncarnation(b) })
		},
		"reply": func(t *rapid.T) {
			p := reply{outcome: drawOutcome(t), more: rapid.Bool().Draw(t, "more"), now: drawTime(t), detail: drawText(t)}
			if rapid.Bool().Draw(t, "shows a session") {
				rec := drawRecord(t, p.id)
				p.record = encodeRecord(&rec)
			}
			same(t, encodeReply(&p), p, func(b []byte) (any, error) { return decodeReply(b) })
		},
	} {
		t.Run(name, func(t *testing.T) { rapid.Check(t, property) })
	}
}

func TestNumbersHaveOneSpelling(t *testing.T) {
	for _, n := range []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MaxUint64} {
		w := writeFields(nil)
		w.key(1)
		w.buf = appendHead(w.buf, majorUint, n)
		w.key(24)
		w.buf = appendInt(w.buf, int64(n))
		raw := w.end()
		fields := wellSpelt(t, raw)
		if fields[1] != n {
			t.Errorf("%d became %v", n, fields[1])
		}
		r := readFields(raw)
		r.next()
		u := r.uint()
		r.next()
		if i := r.int(); u != n || i != int64(n) || r.end() != nil {
			t.Errorf("%d was read as %d and %d", n, u, i)
		}
	}
}

func TestMalformedValuesAreRefused(t *testing.T) {
	for name, raw := range map[string][]byte{
		"nothing":                          {},
		"no map":                           {0x80},
		"a map cut short":                  {0xa1},
		"a field cut short":                {0xa1, 0x01},
		"a number cut short":               {0xa1, 0x01, 0x19, 0x01},
		"something that follows":           {0xa1, 0x01, 0x02, 0x00},
		"a key twice":                      {0xa2, 0x01, 0x02, 0x01, 0x02},
		"keys that descend":                {0xa2, 0x02, 0x02, 0x01, 0x02},
		"a key that is no number":          {0xa1, 0x61, 'a', 0x02},
		"the greatest key before another":  {0xa2, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255, 0x00, 0x01, 0x02},
		"a number longer than it need be":  {0xa1, 0x01, 0x18, 0x17},
		"16 bits where 8 would do":         {0xa1, 0x01, 0x19, 0x00, 0xff},
		"32 bits where 16 would do":        {0xa1, 0x01, 0x1a, 0x00, 0x00, 0xff, 0xff},
		"64 bits where 32 would do":        {0xa1, 0x01, 0x1b, 0, 0, 0, 0, 255, 255, 255, 255},
		"another type":                     {0xa1, 0x01, 0x41, 0x00},
		"an indefinite map":                {0xbf, 0x01, 0x02, 0xff},
		"an indefinite string, skipped":    {0xa1, 0x17, 0x5f, 0x41, 0x00, 0xff},
		"a tag, skipped":                   {0xa1, 0x17, 0xc0, 0x00},
		"a float, skipped":                 {0xa1, 0x17, 0xf9, 0x00, 0x00},
		"a string beyond the end, skipped": {0xa1, 0x17, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255},
		"a nest without an end, skipped":   append([]byte{0xa1, 0x17}, bytes.Repeat([]byte{0x81}, 40)...),
	} {
		t.Run(name, func(t *testing.T) {
			if a, err := decodeAccount(raw); err == nil {
				t.Errorf("read as %+v", a)
			}
		})
	}
}

func TestFieldsOfALaterReleaseArePassedOver(t *testing.T) {
	for name, later := range map[string]any{
		"a number":  uint64(1 << 40),
		"less":      int64(-5),
		"text":      "text",
		"bytes":     []byte{1, 2},
		"yes":       true,
		"nothing":   nil,
		"a list":    []any{uint64(1), "a", []any{}},
		"a map":     map[string]any{"a": []byte{1}, "b": map[string]any{"c": false}},
		"an object": map[uint64]any{1: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := commandEncoding.Marshal(map[uint64]any{accLive: uint64(7), 1000: later})
			if err != nil {
				t.Fatal(err)
			}
			if a, err := decodeAccount(raw); err != nil || a.live != 7 {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}
