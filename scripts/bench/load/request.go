package load

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// The data of a created session: what a frontend keeps about its user, filled up to the wanted size.
const (
	dataHead = `{"email_verified":true,"needs_onboarding":true,"note":"`
	dataTail = `","subscription_plan":"free"}`
	filler   = "abcdefghijklmnopqrstuvwxyz0123456789"
)

func sessionData(size int) []byte {
	data := append(make([]byte, 0, size), dataHead...)
	for len(data) < size-len(dataTail) {
		data = append(data, filler[len(data)%len(filler)])
	}
	return append(data, dataTail...)
}

// A writer builds one client's requests, in one buffer that it uses again and again.
type writer struct {
	options *Options
	tokens  tokenView
	rng     *rand.Rand
	data    []byte
	out     []byte
	body    []byte

	own   []byte // the token of Life's session, nil between two of them
	steps int    // requests that are still made with it
}

// kind is what one request does.
type kind uint8

const (
	read kind = iota
	patch
	create
	logout
)

func (k kind) String() string { return [...]string{"read", "patch", "create", "logout"}[k] }

func (k kind) writes() bool { return k != read }

// choose draws the next request's kind.
func (w *writer) choose() kind {
	switch w.options.Profile {
	case Create:
		return create
	case Patch:
		return patch
	case Mixed:
		if w.rng.IntN(100) < mixedPatchPercent {
			return patch
		}
	case Life:
		return w.live()
	}
	return read
}

// live is the next step in the life of the client's own session.
func (w *writer) live() kind {
	switch {
	case w.own == nil:
		return create
	case w.steps == 0:
		return logout
	}
	w.steps--
	if w.rng.IntN(100) < lifePatchPercent {
		return patch
	}
	return read
}

// ended takes in what came of a step: a created session is the client's own until it is asked to end, whatever the
// answer to that was.
func (w *writer) ended(k kind, token []byte) {
	switch {
	case w.options.Profile != Life:
	case k == create && len(token) > 0:
		w.own, w.steps = append([]byte(nil), token...), lifeSteps
	case k == logout:
		w.own = nil
	}
}

// request builds a request for the node at host. The number is unique in the run; left is the time to
// Options.ExpireAt.
func (w *writer) request(k kind, host string, number uint64, left time.Duration) []byte {
	w.out = w.out[:0]
	switch k {
	case create:
		w.createBody(number, left)
		w.head("POST /api/sessions/create/ HTTP/1.1\r\nHost: ", host)
		w.text("\r\nAuthorization: ")
		w.text(w.options.Authorization)
		w.finish()
	case patch:
		w.patchBody(number)
		w.head("PATCH /api/sessions/current/ HTTP/1.1\r\nHost: ", host)
		w.session()
		w.finish()
	case logout:
		w.head("DELETE /api/sessions/current/ HTTP/1.1\r\nHost: ", host)
		w.session()
		w.text("\r\n\r\n")
	default:
		w.head("GET /api/sessions/current/ HTTP/1.1\r\nHost: ", host)
		w.session()
		if w.options.Consistency != "" {
			w.text("\r\nHoldfast-Consistency: ")
			w.text(w.options.Consistency)
		}
		w.text("\r\n\r\n")
	}
	return w.out
}

func (w *writer) text(s string) { w.out = append(w.out, s...) }

func (w *writer) head(start, host string) {
	w.text(start)
	w.text(host)
}

// session adds the credential of the client's own session, or of a random one.
func (w *writer) session() {
	w.text("\r\nAuthorization: Session ")
	if w.own != nil {
		w.out = append(w.out, w.own...)
		return
	}
	w.out = append(w.out, w.tokens.at(w.rng.IntN(w.tokens.n))...)
}

// finish adds the body and what describes it.
func (w *writer) finish() {
	w.text("\r\nContent-Type: application/json\r\nContent-Length: ")
	w.out = strconv.AppendInt(w.out, int64(len(w.body)), 10)
	w.text("\r\n\r\n")
	w.out = append(w.out, w.body...)
}

// createBody takes the users in turn, so that each has as many sessions as any other and none reaches a limit early.
func (w *writer) createBody(number uint64, left time.Duration) {
	o := w.options
	w.body = append(w.body[:0], `{"user_id":"bench-`...)
	w.body = strconv.AppendUint(w.body, (o.Seed+number)%uint64(o.Users), 10)
	w.body = append(w.body, `","data":`...)
	w.body = append(w.body, w.data...)
	if o.IdleTimeout > 0 {
		w.duration(`,"idle_timeout":"`, o.IdleTimeout)
	}
	switch {
	case !o.ExpireAt.IsZero():
		w.duration(`,"absolute_timeout":"`, left)
	case o.AbsoluteTimeout > 0:
		w.duration(`,"absolute_timeout":"`, o.AbsoluteTimeout)
	}
	w.body = append(w.body, '}')
}

func (w *writer) duration(member string, d time.Duration) {
	w.body = append(w.body, member...)
	w.body = strconv.AppendInt(w.body, d.Milliseconds(), 10)
	w.body = append(w.body, `ms"`...)
}

// patchBody is a merge patch that leaves the data's size as it is after the first time. Every number makes another
// value: a patch that changed nothing would measure nothing.
func (w *writer) patchBody(number uint64) {
	w.body = append(w.body[:0], `{"needs_onboarding":false,"step":`...)
	w.body = strconv.AppendUint(w.body, 1_000_000_000+number, 10)
	w.body = append(w.body, `,"subscription_plan":"professional"}`...)
}
