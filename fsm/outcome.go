package fsm

import (
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/session"
)

// code is how a command ended, as the log's replies and the table hold it.
// Append only.
type code uint8

const (
	codeOK code = iota
	codeInvalidRequest
	codeSessionInvalid
	codeLoginInvalid
	codeForbidden
	codeProtectedKey
	codeNotFound
	codeSessionLimit
	codeIdempotencyConflict
	codeVersionConflict
	codePayloadTooLarge
	codeOutcomeUnknown
	codeOverloaded
	codeIgnored // the machine does not know the command, and may pass over it
)

var sentinels = [...]*session.Error{
	codeInvalidRequest:      session.ErrInvalidRequest,
	codeSessionInvalid:      session.ErrSessionInvalid,
	codeLoginInvalid:        session.ErrLoginInvalid,
	codeForbidden:           session.ErrForbidden,
	codeProtectedKey:        session.ErrProtectedKey,
	codeNotFound:            session.ErrNotFound,
	codeSessionLimit:        session.ErrSessionLimit,
	codeIdempotencyConflict: session.ErrIdempotencyConflict,
	codeVersionConflict:     session.ErrVersionConflict,
	codePayloadTooLarge:     session.ErrPayloadTooLarge,
	codeOutcomeUnknown:      session.ErrOutcomeUnknown,
	codeOverloaded:          session.ErrOverloaded,
	codeIgnored:             session.ErrInternal,
}

// outcome is what is remembered of a command.
type outcome struct {
	code    code
	id      session.ID // of the one session that it was about, else zero
	version uint64     // of that session's data, after the command
	index   uint64     // of the entry in which it took effect
	count   uint64     // of the sessions that it changed
}

// reply is what a proposer receives: the outcome, and what is not remembered.
type reply struct {
	outcome
	more   bool         // sweep: more is due
	now    session.Time // the effective time of the entry
	detail string       // of a refusal, where it differs from the sentinel's
	record []byte       // the session after the command, absent when repeated
}

const (
	replyCode    = 1
	replyID      = 2
	replyVersion = 3
	replyIndex   = 4
	replyCount   = 5
	replyMore    = 6
	replyNow     = 7
	replyDetail  = 8
	replyRecord  = 9
)

func encodeReply(p *reply) []byte {
	w := writeFields(make([]byte, 0, 64+len(p.detail)+len(p.record)))
	w.uint(replyCode, uint64(p.code))
	if !p.id.IsZero() {
		w.bytes(replyID, p.id[:])
	}
	w.uint(replyVersion, p.version)
	w.uint(replyIndex, p.index)
	w.uint(replyCount, p.count)
	w.bool(replyMore, p.more)
	w.int(replyNow, int64(p.now))
	w.text(replyDetail, p.detail)
	w.bytes(replyRecord, p.record)
	return w.end()
}

func decodeReply(raw []byte) (p reply, err error) {
	r := readFields(raw)
	for key, ok := r.next(); ok; key, ok = r.next() {
		switch key {
		case replyCode:
			p.code = code(min(r.uint(), 255))
		case replyID:
			r.fixed(p.id[:])
		case replyVersion:
			p.version = r.uint()
		case replyIndex:
			p.index = r.uint()
		case replyCount:
			p.count = r.uint()
		case replyMore:
			p.more = r.bool()
		case replyNow:
			p.now = session.Time(r.int())
		case replyDetail:
			p.detail = r.text()
		case replyRecord:
			p.record = r.bytes()
		default:
			r.skip(0)
		}
	}
	if err := r.end(); err != nil {
		return reply{}, fmt.Errorf("reply: %w", err)
	}
	return p, nil
}

// err is the sentinel of a refusal, nil for codeOK.
func (p *reply) err() error {
	switch {
	case p.code == codeOK:
		return nil
	case int(p.code) >= len(sentinels):
		return session.ErrInternal.With("a newer node refused the command with code %d", p.code)
	case p.detail != "":
		return sentinels[p.code].With("%s", p.detail)
	}
	return sentinels[p.code]
}

// refused turns a domain error into the reply that carries it. Any other error
// is an impossible state.
func refused(err error) reply {
	if e, ok := errors.AsType[*session.Error](err); ok {
		for c, sentinel := range sentinels[:codeIgnored] {
			if sentinel == nil || sentinel.Code != e.Code {
				continue
			}
			p := reply{outcome: outcome{code: code(c)}}
			if e.Detail != sentinel.Detail {
				p.detail = e.Detail
			}
			return p
		}
	}
	panic(fmt.Sprintf("fsm: a command failed with %v", err))
}

func refuse(c code) reply { return reply{outcome: outcome{code: c}} }
