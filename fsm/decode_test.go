package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfastdb/holdfast/session"
)

// commandDecoding is how fxamacker/cbor reads a command. Unlike here, keys may
// come in any order and heads be longer than need be.
var commandDecoding = mustDecMode(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	IndefLength:       cbor.IndefLengthForbidden,
	TagsMd:            cbor.TagsForbidden,
	MaxNestedLevels:   6,
	MaxArrayElements:  maxElements,
	MaxMapPairs:       1 << 17, // skip has no other limit than the bytes that there are
	ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
})

// commandEncoding is how fxamacker/cbor writes one.
var commandEncoding = mustEncMode(cbor.CoreDetEncOptions())

func mustEncMode(o cbor.EncOptions) cbor.EncMode {
	mode, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}

func mustDecMode(o cbor.DecOptions) cbor.DecMode {
	mode, err := o.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

func framed(raw []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(raw, castagnoli)), raw...)
}

var readable = cmp.AllowUnexported(envelope{}, requestID{}, wireTouch{})

// asTheOther fails if decode accepts raw and fxamacker/cbor does not, or reads
// another value. It says whether decode accepts it.
func asTheOther[T any](t tester, raw []byte, decode func([]byte) (T, error)) (got T, ok bool) {
	t.Helper()
	given := bytes.Clone(raw)
	got, err := decode(raw)
	if !bytes.Equal(given, raw) {
		t.Fatalf("the decoder has changed %x", given)
	}
	if err != nil {
		return got, false
	}
	var want T
	if err := commandDecoding.Unmarshal(raw, &want); err != nil {
		if tooMany := (*cbor.MaxArrayElementsError)(nil); errors.As(err, &tooMany) {
			return got, true // in a body that nothing reads
		}
		t.Fatalf("%x is accepted here as %+v, and there: %v", raw, got, err)
	}
	if diff := cmp.Diff(want, got, readable); diff != "" {
		t.Fatalf("%x reads as another (-there +here): %s", raw, diff)
	}
	return got, true
}

func decodeBare(raw []byte) (envelope, error) { return decodeEnvelope(framed(raw)) }

// commandAsTheOther does so for an envelope, and for its body as each command's.
func commandAsTheOther(t tester, raw []byte) {
	t.Helper()
	if e, ok := asTheOther(t, raw, decodeBare); ok {
		bodyAsTheOther(t, e.Body)
	}
}

func bodyAsTheOther(t tester, raw []byte) {
	t.Helper()
	asTheOther(t, raw, decodeCreate)
	asTheOther(t, raw, decodePatch)
	asTheOther(t, raw, decodePatchUser)
	asTheOther(t, raw, decodeRevoke)
	asTheOther(t, raw, decodeRevokeUser)
	asTheOther(t, raw, decodeTouch)
	asTheOther(t, raw, decodeSweep)
	asTheOther(t, raw, decodeRotate)
	asTheOther(t, raw, decodeReuse)
	asTheOther(t, raw, decodeLogout)
	asTheOther(t, raw, decodeRestoreBegin)
	asTheOther(t, raw, decodeRestoreChunk)
	asTheOther(t, raw, decodeRestoreEnd)
}

func drawMaybe[T any](t *rapid.T, draw func(*rapid.T) T) *T {
	if !rapid.Bool().Draw(t, "there") {
		return nil
	}
	v := draw(t)
	return &v
}

func drawUint(t *rapid.T) uint64 { return rapid.Uint64().Draw(t, "n") }

func drawInt(t *rapid.T) int64 { return rapid.Int64().Draw(t, "n") }

func drawBool(t *rapid.T) bool { return rapid.Bool().Draw(t, "yes") }

func drawBytes(t *rapid.T) []byte {
	if drawBool(t) {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "bytes")
}

func drawEnvelope(t *rapid.T, body any) envelope {
	e := envelope{
		Type: commandType(rapid.Byte().Draw(t, "type")), Version: rapid.Byte().Draw(t, "version"), Ignorable: drawBool(t), ProposedAt: drawTime(t),
		Request: drawMaybe(t, func(t *rapid.T) requestID {
			return requestID{Incarnation: drawUint(t), Sequence: drawUint(t), Lowest: drawUint(t)}
		}),
		Actor: drawMaybe(t, func(t *rapid.T) wireActor {
			return wireActor{
				Service: drawBool(t), SessionID: drawID(t), Hash: drawHash(t), IP: drawText(t), UserAgent: drawText(t),
				Login: drawMaybe(t, func(t *rapid.T) wireLogin { return wireLogin{UserID: drawText(t), IssuedAt: drawTime(t)} }),
			}
		}),
		Idem: drawMaybe(t, func(t *rapid.T) wireIdem { return wireIdem{Scope: drawHash(t), Body: drawHash(t)} }),
	}
	if body != nil {
		raw, err := commandEncoding.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		e.Body = raw
	}
	return e
}

// spell encodes v, and demands that decode reads v from it.
func spell[T any](t *rapid.T, v T, decode func([]byte) (T, error)) []byte {
	t.Helper()
	raw, err := commandEncoding.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := asTheOther(t, raw, decode)
	if !ok {
		t.Fatalf("%x is refused, which is %+v", raw, v)
	}
	if diff := cmp.Diff(v, got, readable); diff != "" {
		t.Fatal(diff)
	}
	return raw
}

// withBody spells a body, and an envelope around it.
func withBody[T any](decode func([]byte) (T, error), draw func(*rapid.T) T) func(*rapid.T) []byte {
	return func(t *rapid.T) []byte {
		body := draw(t)
		spell(t, body, decode)
		e := drawEnvelope(t, body)
		e.Version = commandVersion
		raw := spell(t, e, decodeBare)
		for _, body := range []any{body, nil} { // nil: the envelope has it
			if written := command(t, e, body); !bytes.Equal(written, framed(raw)) {
				t.Fatalf("written %x\nshould  %x", written, framed(raw))
			}
		}
		return raw
	}
}

func TestCommandsAreReadAsAnotherDecoderReadsThem(t *testing.T) {
	for name, draw := range map[string]func(*rapid.T) []byte{
		"bare": func(t *rapid.T) []byte { return spell(t, drawEnvelope(t, nil), decodeBare) },
		"create": withBody(decodeCreate, func(t *rapid.T) createBody {
			return createBody{
				ID: drawID(t), Hash: drawHash(t), UserID: drawText(t), TenantID: drawText(t), Data: drawBytes(t), IdleMillis: drawInt(t),
				AbsMillis: drawInt(t), Issuer: drawText(t), Subject: drawText(t), SID: drawText(t), Method: drawText(t), AuthTime: drawTime(t),
				Carry: append([]string(nil), rapid.SliceOf(rapid.String()).Draw(t, "carry")...), Label: drawText(t), MaxPerUser: drawUint(t), Reject: drawBool(t),
			}
		}),
		"patch": withBody(decodePatch, func(t *rapid.T) patchBody {
			return patchBody{Target: drawID(t), Patch: drawBytes(t), IfVersion: drawUint(t), Label: drawMaybe(t, drawText)}
		}),
		"patch of a user": withBody(decodePatchUser, func(t *rapid.T) patchUserBody {
			return patchUserBody{UserID: drawText(t), Patch: drawBytes(t)}
		}),
		"revoke": withBody(decodeRevoke, func(t *rapid.T) revokeBody { return revokeBody{Target: drawID(t)} }),
		"revoke of a user": withBody(decodeRevokeUser, func(t *rapid.T) revokeUserBody {
			return revokeUserBody{UserID: drawText(t), KeepCurrent: drawBool(t), KeepMillis: drawInt(t)}
		}),
		"touch": withBody(decodeTouch, func(t *rapid.T) touchBody {
			var b touchBody
			for range rapid.IntRange(0, 30).Draw(t, "touches") {
				b.Touches = append(b.Touches, wireTouch{ID: drawID(t), Active: drawTime(t), IP: drawText(t), UserAgent: drawText(t)})
			}
			b.Change, b.GapMillis = rapid.Byte().Draw(t, "change"), drawInt(t)
			return b
		}),
		"rotate": withBody(decodeRotate, func(t *rapid.T) rotateBody {
			return rotateBody{Hash: drawHash(t), Sealed: rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "sealed")}
		}),
		"reuse": withBody(decodeReuse, func(t *rapid.T) reuseBody { return reuseBody{ID: drawID(t), Hash: drawHash(t)} }),
		"logout": withBody(decodeLogout, func(t *rapid.T) logoutBody {
			return logoutBody{
				Issuer: drawText(t), SID: drawText(t), Subject: drawText(t), UserID: drawText(t), KeepMillis: drawInt(t), Token: drawHash(t),
			}
		}),
		"sweep": withBody(decodeSweep, func(t *rapid.T) sweepBody {
			return sweepBody{Limit: drawUint(t), EventMillis: drawInt(t), EventCount: drawUint(t), IdempotencyKeys: drawUint(t)}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				raw := draw(t)
				for range 20 { // and not otherwise once it is damaged
					bad := bytes.Clone(raw)
					for range rapid.IntRange(1, 3).Draw(t, "damages") {
						bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
					}
					commandAsTheOther(t, bad)
				}
				commandAsTheOther(t, raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")])
			})
		})
	}
}

// FuzzCommandsAsTheOther holds what is read to what fxamacker/cbor reads.
func FuzzCommandsAsTheOther(f *testing.F) {
	for _, g := range goldenCommands() {
		f.Add(g.raw[crcLen:])
		if e, err := decodeEnvelope(g.raw); err == nil {
			f.Add([]byte(e.Body))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		commandAsTheOther(t, raw)
		bodyAsTheOther(t, raw)
	})
}

func TestMalformedCommandsAreRefused(t *testing.T) {
	id := fixed[session.ID](0x10)
	tooMany := make([]wireTouch, maxElements+1)
	short := func(b []byte) []byte { return b[:len(b)-1] }
	type fields = map[uint64]any
	refused := func(raw []byte) bool { _, err := decodeBare(raw); return err != nil }
	create := func(raw []byte) bool { _, err := decodeCreate(raw); return err != nil }
	touch := func(raw []byte) bool { _, err := decodeTouch(raw); return err != nil }
	nest := func(levels int) (v any) {
		for range levels {
			v = []any{v}
		}
		return v
	}
	for name, c := range map[string]struct {
		value   any
		refused func([]byte) bool
	}{
		"an unknown field":              {fields{1: 1, 2: 1, 9: 1}, refused},
		"a type that is too great":      {fields{1: 256, 2: 1}, refused},
		"a version that is too great":   {fields{1: 1, 2: 256}, refused},
		"a request id of two":           {fields{1: 1, 2: 1, 4: []uint64{1, 2}}, refused},
		"a request id of four":          {fields{1: 1, 2: 1, 4: []uint64{1, 2, 3, 4}}, refused},
		"a request id that is negative": {fields{1: 1, 2: 1, 4: []int64{1, -2, 3}}, refused},
		"an actor's unknown field":      {fields{1: 1, 2: 1, 6: fields{7: 1}}, refused},
		"an actor's short id":           {fields{1: 1, 2: 1, 6: fields{2: short(id[:])}}, refused},
		"a login's unknown field":       {fields{1: 1, 2: 1, 6: fields{4: fields{3: 1}}}, refused},
		"a login's text":                {fields{1: 1, 2: 1, 6: fields{4: fields{1: "\xff"}}}, refused},
		"an actor's text":               {fields{1: 1, 2: 1, 6: fields{5: "\xff"}}, refused},
		"a scope that is short":         {fields{1: 1, 2: 1, 7: fields{1: id[:]}}, refused},
		"a key's unknown field":         {fields{1: 1, 2: 1, 7: fields{3: 1}}, refused},
		"a body that nests too deep":    {fields{1: 1, 2: 1, 8: nest(6)}, refused},
		"a body's unknown field":        {fields{17: 1}, create},
		"a body's short id":             {fields{1: short(id[:])}, create},
		"a body's long id":              {fields{1: append(id[:], 0)}, create},
		"a body's text":                 {fields{3: "\xc3\x28"}, create},
		"bytes for text":                {fields{3: []byte("alice")}, create},
		"text in an array":              {fields{13: []string{"a", "\xff"}}, create},
		"too many texts":                {fields{13: make([]string, maxElements+1)}, create},
		"a touch of three":              {fields{1: []any{[]any{id[:], 1, ""}}}, touch},
		"a touch of five":               {fields{1: []any{[]any{id[:], 1, "", "", ""}}}, touch},
		"a touch's text":                {fields{1: []any{[]any{id[:], 1, "", "\xff"}}}, touch},
		"too many touches":              {touchBody{Touches: tooMany}, touch},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := commandEncoding.Marshal(c.value)
			if err != nil {
				t.Fatal(err)
			}
			if !c.refused(raw) {
				t.Errorf("%x is accepted", raw)
			}
		})
	}
	most, err := commandEncoding.Marshal(touchBody{Touches: tooMany[1:]})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := decodeTouch(most); err != nil || len(b.Touches) != maxElements {
		t.Errorf("%d touches: %v", len(b.Touches), err)
	}
}

func TestWhatIsNoBodyIsNotWritten(t *testing.T) {
	if raw, err := encodeCommand(envelope{Type: cmdRevoke}, 7); err == nil {
		t.Errorf("written as %x", raw)
	}
}
