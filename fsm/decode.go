package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/session"
)

// Commands are read by hand, as stored values are (fields.go), because every
// node reads every command. They are read more strictly: a field that this
// release does not know is a fault, for its meaning would be missed, and text
// must be UTF-8. Tests hold it all against fxamacker/cbor.
//
// Bytes that are read are a part of the command, which the log owns: they must
// not be changed, and what is stored must be a copy.

const (
	// maxElements bounds an array of a command.
	maxElements = 4096
	// bodyDepth leaves a body a nesting of four below the envelope.
	bodyDepth  = maxSkipDepth - 4
	simpleNull = 22
)

// decodeEnvelope checks the frame and reads all but the body.
func decodeEnvelope(command []byte) (e envelope, err error) {
	if len(command) < crcLen || crc32.Checksum(command[crcLen:], castagnoli) != binary.BigEndian.Uint32(command) {
		return e, errChecksum
	}
	r := readFields(command[crcLen:])
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case 1:
			e.Type = commandType(r.octet())
		case 2:
			e.Version = r.octet()
		case 3:
			e.Ignorable = r.bool()
		case 4:
			e.Request = r.request()
		case 5:
			e.ProposedAt = session.Time(r.int())
		case 6:
			e.Actor = r.actor()
		case 7:
			e.Idem = r.idem()
		case 8:
			e.Body = r.item()
		default:
			r.bad = true
		}
	}
	if err := r.end(); err != nil {
		return envelope{}, fmt.Errorf("command: %w", err)
	}
	return e, nil
}

func (r *fieldReader) request() *requestID {
	if r.array() != 3 {
		r.bad = true
	}
	return &requestID{Incarnation: r.uint(), Sequence: r.uint(), Lowest: r.uint()}
}

func (r *fieldReader) actor() *wireActor {
	a := &wireActor{}
	in := readFields(r.raw)
	for key, ok := in.next(); ok; key, ok = in.next() {
		switch key {
		case 1:
			a.Service = in.bool()
		case 2:
			in.fixed(a.SessionID[:])
		case 3:
			in.fixed(a.Hash[:])
		case 4:
			a.Login = in.login()
		case 5:
			a.IP = in.utf8()
		case 6:
			a.UserAgent = in.utf8()
		default:
			in.bad = true
		}
	}
	r.leave(&in)
	return a
}

func (r *fieldReader) login() *wireLogin {
	l := &wireLogin{}
	in := readFields(r.raw)
	for key, ok := in.next(); ok; key, ok = in.next() {
		switch key {
		case 1:
			l.UserID = in.utf8()
		case 2:
			l.IssuedAt = session.Time(in.int())
		default:
			in.bad = true
		}
	}
	r.leave(&in)
	return l
}

func (r *fieldReader) idem() *wireIdem {
	i := &wireIdem{}
	in := readFields(r.raw)
	for key, ok := in.next(); ok; key, ok = in.next() {
		switch key {
		case 1:
			in.fixed(i.Scope[:])
		case 2:
			in.fixed(i.Body[:])
		default:
			in.bad = true
		}
	}
	r.leave(&in)
	return i
}

func (r *fieldReader) touches() []wireTouch {
	all := make([]wireTouch, r.array())
	for i := range all {
		if r.array() != 4 {
			r.bad = true
		}
		if r.bad {
			return nil
		}
		t := &all[i]
		r.fixed(t.ID[:])
		t.Active = session.Time(r.int())
		t.IP, t.UserAgent = r.utf8(), r.utf8()
	}
	return all
}

func (r *fieldReader) texts() []string {
	all := make([]string, r.array())
	for i := range all {
		all[i] = r.utf8()
	}
	return all
}

// leave goes on behind a map that in has read within r.
func (r *fieldReader) leave(in *fieldReader) {
	r.raw = in.raw
	r.bad = r.bad || in.bad || in.left != 0
}

// array begins an array and returns its length, zero after a fault.
func (r *fieldReader) array() uint64 {
	major, n := r.head()
	if r.bad || major != majorArray || n > min(maxElements, uint64(len(r.raw))) {
		r.bad = true
		return 0
	}
	return n
}

// item returns the bytes of whatever comes next.
func (r *fieldReader) item() []byte {
	from := r.raw
	r.skip(bodyDepth)
	n := len(from) - len(r.raw)
	return from[:n:n]
}

// null passes over a null, which the encoder makes of a nil slice in a field
// that is always written.
func (r *fieldReader) null() bool {
	if r.bad || len(r.raw) == 0 || r.raw[0] != majorSimple<<5|simpleNull {
		return false
	}
	r.raw = r.raw[1:]
	return true
}

func (r *fieldReader) octet() uint8 {
	n := r.uint()
	if n > math.MaxUint8 {
		r.bad = true
		return 0
	}
	return uint8(n)
}

// utf8 is text that is known to be such.
func (r *fieldReader) utf8() string {
	b := r.string(majorText)
	r.bad = r.bad || !utf8.Valid(b)
	return string(b)
}
