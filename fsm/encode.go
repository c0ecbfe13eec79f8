package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// commandRoom is about what a command takes beside the bytes of its body.
const commandRoom = 384

// encodeCommand frames an envelope with body, nil for the one that it has: CRC-32C, then CBOR.
func encodeCommand(e envelope, body any) ([]byte, error) {
	w := writeFields(make([]byte, crcLen, commandRoom+len(e.Body)+bulk(body)))
	w.uintOrZero(1, uint64(e.Type))
	w.uintOrZero(2, commandVersion)
	w.bool(3, e.Ignorable)
	if r := e.Request; r != nil {
		w.key(4)
		w.buf = appendHead(w.buf, majorArray, 3)
		w.buf = appendHead(w.buf, majorUint, r.Incarnation)
		w.buf = appendHead(w.buf, majorUint, r.Sequence)
		w.buf = appendHead(w.buf, majorUint, r.Lowest)
	}
	w.int(5, int64(e.ProposedAt))
	if e.Actor != nil {
		w.key(6)
		w.buf = e.Actor.append(w.buf)
	}
	if e.Idem != nil {
		w.key(7)
		w.buf = e.Idem.append(w.buf)
	}
	switch {
	case body != nil:
		w.key(8)
		var err error
		if w.buf, err = appendBody(w.buf, body); err != nil {
			return nil, fmt.Errorf("encode command %d: %w", e.Type, err)
		}
	case len(e.Body) > 0:
		w.key(8)
		w.buf = append(w.buf, e.Body...)
	}
	raw := w.end()
	binary.BigEndian.PutUint32(raw, crc32.Checksum(raw[crcLen:], castagnoli))
	return raw, nil
}

// bulk is about how many bytes a body has that may be large.
func bulk(body any) int {
	switch b := body.(type) {
	case createBody:
		return len(b.Data)
	case patchBody:
		return len(b.Patch)
	case patchUserBody:
		return len(b.Patch)
	case touchBody:
		return len(b.Touches) * 64
	case restoreChunkBody:
		n := 0
		for _, p := range b.Pairs {
			n += len(p) + 5
		}
		return n
	}
	return 0
}

func appendBody(dst []byte, body any) ([]byte, error) {
	switch b := body.(type) {
	case createBody:
		return b.append(dst), nil
	case patchBody:
		return b.append(dst), nil
	case patchUserBody:
		return b.append(dst), nil
	case revokeBody:
		w := writeFields(dst)
		w.bytes(1, b.Target[:])
		return w.end(), nil
	case revokeUserBody:
		w := writeFields(dst)
		w.text(1, b.UserID)
		w.bool(2, b.KeepCurrent)
		w.intOrZero(3, b.KeepMillis)
		return w.end(), nil
	case touchBody:
		return b.append(dst), nil
	case rotateBody:
		w := writeFields(dst)
		w.bytes(1, b.Hash[:])
		w.bytes(2, b.Sealed)
		return w.end(), nil
	case reuseBody:
		w := writeFields(dst)
		w.bytes(1, b.ID[:])
		w.bytes(2, b.Hash[:])
		return w.end(), nil
	case logoutBody:
		w := writeFields(dst)
		w.textOrEmpty(1, b.Issuer)
		w.text(2, b.SID)
		w.text(3, b.Subject)
		w.text(4, b.UserID)
		w.intOrZero(5, b.KeepMillis)
		w.bytes(6, b.Token[:])
		return w.end(), nil
	case restoreBeginBody:
		w := writeFields(dst)
		w.bytes(1, b.ID[:])
		w.uintOrZero(2, uint64(b.Mode))
		w.uintOrZero(3, b.Size)
		return w.end(), nil
	case restoreChunkBody:
		return b.append(dst), nil
	case restoreEndBody:
		w := writeFields(dst)
		w.bytes(1, b.ID[:])
		w.uintOrZero(2, b.Chunks)
		w.uintOrZero(3, b.Cluster)
		return w.end(), nil
	case levelBody:
		w := writeFields(dst)
		w.uintOrZero(1, uint64(b.Level))
		return w.end(), nil
	case sweepBody:
		w := writeFields(dst)
		w.uintOrZero(1, b.Limit)
		w.intOrZero(2, b.EventMillis)
		w.uintOrZero(3, b.EventCount)
		w.uintOrZero(4, b.IdempotencyKeys)
		return w.end(), nil
	}
	return nil, fmt.Errorf("%T is no body of a command", body)
}

func (b *createBody) append(dst []byte) []byte {
	w := writeFields(dst)
	w.bytes(1, b.ID[:])
	w.bytes(2, b.Hash[:])
	w.text(3, b.UserID)
	w.text(4, b.TenantID)
	w.bytes(5, b.Data)
	w.intOrZero(6, b.IdleMillis)
	w.intOrZero(7, b.AbsMillis)
	w.text(8, b.Issuer)
	w.text(9, b.Subject)
	w.text(10, b.SID)
	w.text(11, b.Method)
	w.int(12, int64(b.AuthTime))
	if len(b.Carry) > 0 {
		w.key(13)
		w.buf = appendHead(w.buf, majorArray, uint64(len(b.Carry)))
		for _, key := range b.Carry {
			w.buf = appendString(w.buf, key)
		}
	}
	w.text(14, b.Label)
	w.uint(15, b.MaxPerUser)
	w.bool(16, b.Reject)
	return w.end()
}

func (b *patchBody) append(dst []byte) []byte {
	w := writeFields(dst)
	w.bytes(1, b.Target[:])
	w.bytes(2, b.Patch)
	w.uint(3, b.IfVersion)
	if b.Label != nil {
		w.textOrEmpty(4, *b.Label)
	}
	return w.end()
}

func (b *patchUserBody) append(dst []byte) []byte {
	w := writeFields(dst)
	w.textOrEmpty(1, b.UserID)
	w.key(2)
	if b.Patch == nil {
		w.buf = append(w.buf, majorSimple<<5|simpleNull)
	} else {
		w.buf = append(appendHead(w.buf, majorBytes, uint64(len(b.Patch))), b.Patch...)
	}
	return w.end()
}

func (b *touchBody) append(dst []byte) []byte {
	w := writeFields(dst)
	w.key(1)
	if b.Touches == nil {
		w.buf = append(w.buf, majorSimple<<5|simpleNull)
	} else {
		w.buf = appendHead(w.buf, majorArray, uint64(len(b.Touches)))
	}
	for i := range b.Touches {
		t := &b.Touches[i]
		w.buf = appendHead(w.buf, majorArray, 4)
		w.buf = append(appendHead(w.buf, majorBytes, uint64(len(t.ID))), t.ID[:]...)
		w.buf = appendInt(w.buf, int64(t.Active))
		w.buf = appendString(w.buf, t.IP)
		w.buf = appendString(w.buf, t.UserAgent)
	}
	w.uint(2, uint64(b.Change))
	w.int(3, b.GapMillis)
	return w.end()
}

func (a *wireActor) append(dst []byte) []byte {
	w := writeFields(dst)
	w.bool(1, a.Service)
	w.bytes(2, a.SessionID[:])
	w.bytes(3, a.Hash[:])
	if a.Login != nil {
		w.key(4)
		login := writeFields(w.buf)
		login.textOrEmpty(1, a.Login.UserID)
		login.intOrZero(2, int64(a.Login.IssuedAt))
		w.buf = login.end()
	}
	w.text(5, a.IP)
	w.text(6, a.UserAgent)
	return w.end()
}

func (i *wireIdem) append(dst []byte) []byte {
	w := writeFields(dst)
	w.bytes(1, i.Scope[:])
	w.bytes(2, i.Body[:])
	return w.end()
}

func appendString(dst []byte, v string) []byte {
	return append(appendHead(dst, majorText, uint64(len(v))), v...)
}

// Some fields of commands are written always.

func (w *fieldWriter) uintOrZero(key, v uint64) {
	w.key(key)
	w.buf = appendHead(w.buf, majorUint, v)
}

func (w *fieldWriter) intOrZero(key uint64, v int64) {
	w.key(key)
	w.buf = appendInt(w.buf, v)
}

func (w *fieldWriter) textOrEmpty(key uint64, v string) {
	w.key(key)
	w.buf = appendString(w.buf, v)
}
