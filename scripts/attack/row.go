package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A row is one line of the table: something that is sent, and what must come of it.
type row struct {
	input string
	want  string
	long  bool // waits for long: left out by -short
	alone bool // the group waits until it has ended; the others run beside what follows
	try   func(ctx context.Context) verdict
}

// A verdict is what came of a row: got, for people, and what is wrong with it, empty if it is right. A row that could not
// be tried says why it was left out instead.
type verdict struct{ got, wrong, left string }

func right(format string, args ...any) verdict { return verdict{got: fmt.Sprintf(format, args...)} }

func leftOut(why string) verdict { return verdict{left: why} }

func wrong(format string, args ...any) verdict {
	text := fmt.Sprintf(format, args...)
	return verdict{got: text, wrong: text}
}

// An expectation looks at an answer and returns what is wrong with it, or nothing.
type expectation struct {
	text  string
	check func(answer) string
}

// sends is the row of one request and one answer.
func sends(input string, send func(context.Context) answer, want expectation) row {
	return row{input: input, want: want.text, alone: true, try: func(ctx context.Context) verdict {
		got := send(ctx)
		return verdict{got: got.String(), wrong: want.check(got)}
	}}
}

// asks is the row of one well-formed request.
func asks(input string, r request, want expectation) row {
	return sends(input, func(ctx context.Context) answer { return ask(ctx, r) }, want)
}

// waits is the row of something that takes a while, beside which other rows may run.
func waits(input, want string, try func(context.Context) verdict) row {
	return row{input: input, want: want, try: try}
}

// steps is the row of something with several requests.
func steps(input, want string, try func(context.Context) verdict) row {
	return row{input: input, want: want, alone: true, try: try}
}

func status(allowed ...int) expectation {
	text := strings.Trim(fmt.Sprint(allowed), "[]")
	return expectation{strings.ReplaceAll(text, " ", " or "), func(a answer) string {
		switch {
		case a.err != nil || a.count != 1:
			return a.String()
		case !slices.Contains(allowed, a.status):
			return fmt.Sprintf("status %d: %.200s", a.status, a.body)
		}
		return ""
	}}
}

// problem wants exactly one answer, a problem document with this status and code.
func problem(code int, name string) expectation {
	inner := status(code)
	return expectation{fmt.Sprintf("%d %s", code, name), func(a answer) string {
		if fault := inner.check(a); fault != "" {
			return fault
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			return "the content type is " + got
		}
		if a.code() != name {
			return fmt.Sprintf("the code is %q", a.code())
		}
		return ""
	}}
}

// hangsUp adds that the node must end the connection, so that no bytes that follow are taken for a request.
func (e expectation) hangsUp() expectation {
	return expectation{e.text + ", closed", func(a answer) string {
		if fault := e.check(a); fault != "" {
			return fault
		}
		if !a.closed {
			return "the connection stays open"
		}
		return ""
	}}
}

// with adds something to look for.
func (e expectation) with(text string, check func(answer) string) expectation {
	return expectation{e.text + ", " + text, func(a answer) string {
		if fault := e.check(a); fault != "" {
			return fault
		}
		return check(a)
	}}
}

var (
	badRequest     = problem(http.StatusBadRequest, "invalid_request")
	sessionInvalid = problem(http.StatusUnauthorized, "session_invalid")
	loginInvalid   = problem(http.StatusUnauthorized, "login_invalid")
	keyInvalid     = problem(http.StatusUnauthorized, "key_invalid")
	forbidden      = problem(http.StatusForbidden, "forbidden")
	protectedKey   = problem(http.StatusForbidden, "protected_key")
	notFound       = problem(http.StatusNotFound, "not_found")
)
