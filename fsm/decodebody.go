package fsm

import (
	"fmt"
	"math"

	"github.com/holdfastdb/holdfast/session"
)

// decodeBody reads the body with decode, which is one of those below.
func decodeBody[T any](e *envelope, decode func([]byte) (T, error)) (body T, err error) {
	body, err = decode(e.Body)
	if err != nil {
		return body, fmt.Errorf("body of command %d: %w", e.Type, err)
	}
	return body, nil
}

func decodeCreate(raw []byte) (b createBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.ID[:])
		case 2:
			r.fixed(b.Hash[:])
		case 3:
			b.UserID = r.utf8()
		case 4:
			b.TenantID = r.utf8()
		case 5:
			b.Data = r.bytes()
		case 6:
			b.IdleMillis = r.int()
		case 7:
			b.AbsMillis = r.int()
		case 13:
			b.Carry = r.texts()
		case 14:
			b.Label = r.utf8()
		case 15:
			b.MaxPerUser = r.uint()
		case 16:
			b.Reject = r.bool()
		default:
			b.decodeLogin(key, &r)
		}
	}
	return b, r.end()
}

// decodeLogin reads the fields that say how somebody logged in.
func (b *createBody) decodeLogin(key uint64, r *fieldReader) {
	switch key {
	case 8:
		b.Issuer = r.utf8()
	case 9:
		b.Subject = r.utf8()
	case 10:
		b.SID = r.utf8()
	case 11:
		b.Method = r.utf8()
	case 12:
		b.AuthTime = session.Time(r.int())
	default:
		r.bad = true
	}
}

func decodePatch(raw []byte) (b patchBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.Target[:])
		case 2:
			b.Patch = r.bytes()
		case 3:
			b.IfVersion = r.uint()
		case 4:
			label := r.utf8()
			b.Label = &label
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodePatchUser(raw []byte) (b patchUserBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			b.UserID = r.utf8()
		case 2:
			if !r.null() {
				b.Patch = r.bytes()
			}
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeRevoke(raw []byte) (b revokeBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.Target[:])
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeRevokeUser(raw []byte) (b revokeUserBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			b.UserID = r.utf8()
		case 2:
			b.KeepCurrent = r.bool()
		case 3:
			b.KeepMillis = r.int()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeTouch(raw []byte) (b touchBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			if !r.null() {
				b.Touches = r.touches()
			}
		case 2:
			b.Change = r.octet()
		case 3:
			b.GapMillis = r.int()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeRotate(raw []byte) (b rotateBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.Hash[:])
		case 2:
			b.Sealed = r.bytes()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeReuse(raw []byte) (b reuseBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			r.fixed(b.ID[:])
		case 2:
			r.fixed(b.Hash[:])
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeLogout(raw []byte) (b logoutBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			b.Issuer = r.utf8()
		case 2:
			b.SID = r.utf8()
		case 3:
			b.Subject = r.utf8()
		case 4:
			b.UserID = r.utf8()
		case 5:
			b.KeepMillis = r.int()
		case 6:
			r.fixed(b.Token[:])
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeSweep(raw []byte) (b sweepBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			b.Limit = r.uint()
		case 2:
			b.EventMillis = r.int()
		case 3:
			b.EventCount = r.uint()
		case 4:
			b.IdempotencyKeys = r.uint()
		default:
			r.bad = true
		}
	}
	return b, r.end()
}

func decodeLevel(raw []byte) (b levelBody, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			level := r.uint()
			r.bad = r.bad || level > math.MaxUint16
			b.Level = uint16(level)
		default:
			r.bad = true
		}
	}
	return b, r.end()
}
